(* Growth of the curvature in the unstable regime. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import growth.

Theorem curvature_growth (factor : R) (t : nat) : 0 < factor -> (2 <= t)%nat ->
  (forall a, derivable_pt_lim (loss t) a (loss' t a)) /\
  exists l, derivable_pt_lim (loss' t) factor l /\ l >= formulas.curvature_growth factor t.
Proof.
  intros Ha Ht. split; [apply loss_derivative|].
  exists (loss'' t factor). split; [apply loss'_derivative|].
  destruct t as [|[|i]]; [lia|lia|]. unfold formulas.curvature_growth, loss''.
  pose proof (h_grows factor i Ha) as Hh. pose proof (d_grows factor i Ha) as Hd.
  pose proof (dd_grows factor i Ha) as Hdd.
  replace (2 * S (S i) - 4)%nat with (i + i)%nat by lia. rewrite pow_add, !S_INR.
  assert (0 <= factor ^ i) by (apply pow_le; lra).
  assert (0 <= factor ^ (i - 1)) by (apply pow_le; lra). pose proof (pos_INR i).
  set (d := h' (S (S i)) factor) in *. set (dd := h'' (S (S i)) factor) in *.
  set (e := h (S (S i)) factor - 1) in *. apply Rle_ge.
  assert (((INR i + 1) * factor ^ i) * ((INR i + 1) * factor ^ i) <= d * d)
    by (apply Rmult_le_compat; nra).
  assert (factor ^ S i * (INR i * (INR i + 1) * factor ^ (i - 1)) <= e * dd).
  { apply Rmult_le_compat; [apply pow_le; lra | | exact Hh | exact Hdd]. repeat apply Rmult_le_pos;
    lra. }
  assert (factor ^ S i * (INR i * (INR i + 1) * factor ^ (i - 1))
          = INR i * (INR i + 1) * (factor ^ i * factor ^ i)).
  { destruct i as [|i]; [simpl; ring|]. replace (S i - 1)%nat with i by lia. simpl. ring. }
  nra.
Qed.

Theorem attained (factor : R) : 0 < factor ->
  derivable_pt_lim (loss' 2) factor (formulas.curvature_growth factor 2).
Proof.
  intros Ha. replace (formulas.curvature_growth factor 2) with (loss'' 2 factor).
  - apply loss'_derivative.
  - unfold formulas.curvature_growth, loss''. simpl. ring.
Qed.

(* Growth of gradients in the unstable regime. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import growth.

Theorem gradient_growth (factor : R) (t : nat) : 0 < factor -> (2 <= t)%nat ->
  exists l, derivable_pt_lim (loss t) factor l /\ l >= formulas.gradient_growth factor t.
Proof.
  intros Ha Ht. exists (loss' t factor). split; [apply loss_derivative|].
  destruct t as [|[|i]]; [lia|lia|]. unfold formulas.gradient_growth, loss'.
  pose proof (h_grows factor i Ha) as Hh. pose proof (d_grows factor i Ha) as Hd.
  replace (2 * S (S i) - 3)%nat with (S i + i)%nat by lia. rewrite pow_add, !S_INR.
  assert (0 <= factor ^ S i) by (apply pow_le; lra). assert (0 <= factor ^ i) by (apply pow_le;
    lra).
  pose proof (pos_INR i). apply Rle_ge.
  apply Rle_trans with (factor ^ S i * ((INR i + 1) * factor ^ i)); [right; ring|].
  apply Rmult_le_compat; lra || nra.
Qed.

Theorem attained (factor : R) : 0 < factor ->
  derivable_pt_lim (loss 2) factor (formulas.gradient_growth factor 2).
Proof.
  intros Ha. replace (formulas.gradient_growth factor 2) with (loss' 2 factor).
  - apply loss_derivative.
  - unfold formulas.gradient_growth, loss'. simpl. ring.
Qed.

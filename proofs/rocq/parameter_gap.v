(* Lipschitz dependence of the state on the parameters: one of the two maps contracts. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem parameter_gap {T X P} (d : metric T) (e : metric P) (step : P -> T -> X -> T) (x : nat -> X)
    (lam : R) (t : nat) (weight_gain distance : R) (w v : P) (h : T) :
  0 <= lam < 1 -> contractive d (step w) lam ->
  0 <= weight_gain ->
  (forall s, d (step w (state (step v) x h s) (x s)) (step v (state (step v) x h s) (x s))
             <= weight_gain * e w v) ->
  e w v <= distance ->
  d (state (step w) x h t) (state (step v) x h t)
  <= formulas.parameter_gap lam t weight_gain distance.
Proof.
  intros Hlam Hstep Hg Hgain Hd.
  eapply Rle_trans; [now apply (parameters_apart d e step x lam weight_gain)|].
  unfold formulas.parameter_gap. pose proof (pow_unit lam t Hlam).
  apply div_le; [lra|]. apply Rmult_le_compat_r; [lra|]. rewrite (Rmult_comm distance).
  now apply Rmult_le_compat_l.
Qed.

Theorem attained lam t distance : 0 <= lam < 1 -> 0 <= distance ->
  let step (w h : R) (_ : R) := lam * h + w in
  (forall w, contractive line (step w) lam) /\
  (forall w v h x, line (step w h x) (step v h x) = 1 * line w v) /\
  line distance 0 = distance /\
  line (state (step distance) (fun _ => 0) 0 t) (state (step 0) (fun _ => 0) 0 t)
  = formulas.parameter_gap lam t 1 distance.
Proof.
  intros Hlam Hd step. pose proof (pow_unit lam t Hlam). repeat split.
  - intros w h g x. rewrite !line_is. unfold step.
    replace (lam * h + w - (lam * g + w)) with (lam * (h - g)) by ring.
    rewrite Rabs_mult, (Rabs_right lam); lra.
  - intros w v h x. rewrite !line_is, Rmult_1_l. unfold step. f_equal. ring.
  - rewrite line_is, Rabs_right; lra.
  - assert (orbit : forall w, state (step w) (fun _ => 0) 0 t = w * (1 - lam ^ t) / (1 - lam)).
    { intros w. unfold state.
      rewrite (recursion_exact lam w (fun n => run (step w) (fun _ => 0) 0 0 n));
        [|lra|reflexivity].
      simpl. field. lra. }
    rewrite line_is, !orbit. unfold formulas.parameter_gap. rewrite Rabs_right; [field; lra|].
    apply Rle_ge. replace (distance * (1 - lam ^ t) / (1 - lam) - 0 * (1 - lam ^ t) / (1 - lam))
      with (distance * (1 - lam ^ t) / (1 - lam)) by (field; lra). apply div_nonneg; nra.
Qed.

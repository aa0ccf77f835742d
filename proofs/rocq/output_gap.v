(* Output gap of the k-step counterpart. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem output_gap {T X Y} (d : metric T) (e : metric Y) (o : T) (step : T -> X -> T) (x : nat -> X)
    (f : T -> Y) (lam : R) (k t : nat) (drive lipschitz : R) :
  0 <= lam < 1 -> contractive d step lam ->
  (forall s, d (step o (x s)) o <= drive) ->
  0 <= lipschitz -> lipschitz_map d e f lipschitz ->
  e (f (state step x o t)) (f (truncated step x o k t))
    <= formulas.output_gap lam k drive lipschitz.
Proof.
  intros Hlam Hstep Hdrive Hl Hf. eapply Rle_trans; [apply Hf|].
  replace (formulas.output_gap lam k drive lipschitz)
    with (lipschitz * (drive * lam ^ k / (1 - lam)))
    by (unfold formulas.output_gap; field; lra).
  apply Rmult_le_compat_l; [exact Hl|]. now apply (gap_always d step lam).
Qed.

Theorem approached lam k drive lipschitz eps :
  0 <= lam < 1 -> 0 <= drive -> 0 <= lipschitz -> 0 < eps ->
  contractive line (affine lam 0 drive) lam /\ line (affine lam 0 drive 0 0) 0 = drive /\
  lipschitz_map line line (Rmult lipschitz) lipschitz /\
  exists t, formulas.output_gap lam k drive lipschitz - eps
  < line (lipschitz * state (affine lam 0 drive) (fun _ => 0) 0 t)
      (lipschitz * truncated (affine lam 0 drive) (fun _ => 0) 0 k t).
Proof.
  intros Hlam Hd Hl He.
  assert (scaled : forall h g, line (lipschitz * h) (lipschitz * g) = lipschitz * line h g).
  { intros h g. rewrite !line_is, <- Rmult_minus_distr_l, Rabs_mult, (Rabs_right lipschitz); lra. }
  repeat split.
  - apply affine_contractive; lra.
  - rewrite affine_drive; lra.
  - intros h g. rewrite scaled. lra.
  - destruct (affine_truncated_limit lam drive k (eps / (lipschitz + 1))) as [t Ht]; try assumption.
    { apply Rdiv_lt_0_compat; lra. }
    exists t. rewrite scaled.
    replace (formulas.output_gap lam k drive lipschitz)
      with (lipschitz * (drive * lam ^ k / (1 - lam)))
      by (unfold formulas.output_gap; field; lra).
    apply Rlt_le, (Rmult_le_compat_l lipschitz) in Ht; [|exact Hl].
    assert (lipschitz * (eps / (lipschitz + 1)) < eps); [|lra].
    apply (Rmult_lt_reg_r (lipschitz + 1)); [lra|].
    replace (lipschitz * (eps / (lipschitz + 1)) * (lipschitz + 1)) with (lipschitz * eps)
      by (field; lra).
    nra.
Qed.

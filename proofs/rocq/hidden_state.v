(* Size of the hidden state. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem hidden_state {T X} (d : metric T) (o : T) (step : T -> X -> T) (x : nat -> X)
    (lam : R) (t : nat) (drive start : R) (h : T) :
  0 <= lam < 1 -> contractive d step lam ->
  (forall s, d (step o (x s)) o <= drive) ->
  d h o <= start ->
  d (state step x h t) o <= formulas.hidden_state lam t drive start.
Proof.
  intros Hlam Hstep Hdrive Hstart.
  eapply Rle_trans; [now apply (run_size d step lam Hlam Hstep x o drive)|].
  apply Rplus_le_compat_r, Rmult_le_compat_l; [now apply pow_unit | exact Hstart].
Qed.

Theorem attained lam t drive start : 0 <= lam < 1 -> 0 <= drive -> 0 <= start ->
  contractive line (affine lam 0 drive) lam /\ line (affine lam 0 drive 0 0) 0 = drive /\
  line start 0 = start /\
  line (state (affine lam 0 drive) (fun _ => 0) start t) 0
  = formulas.hidden_state lam t drive start.
Proof.
  intros Hlam Hd Hs. pose proof (pow_unit lam t Hlam). repeat split.
  - apply affine_contractive; lra.
  - rewrite affine_drive; lra.
  - rewrite line_is, Rabs_right; lra.
  - rewrite line_is. unfold state. rewrite affine_run by lra. unfold formulas.hidden_state.
    replace (0 * 0 + drive) with drive by ring. rewrite Rabs_right; [ring|].
    apply Rle_ge. rewrite Rminus_0_r. apply Rplus_le_le_0_compat; [nra|]. apply div_nonneg; nra.
Qed.

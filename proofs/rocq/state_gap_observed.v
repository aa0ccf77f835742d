(* State gap of the k-step counterpart from one stored state. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem state_gap_observed {T X} (d : metric T) (o : T) (step : T -> X -> T) (x : nat -> X)
    (lam : R) (k t : nat) (past : R) (h : T) :
  0 <= lam < 1 -> contractive d step lam ->
  (k <= t)%nat -> d (state step x h (t - k)) o <= past ->
  d (state step x h t) (truncated step x o k t) <= formulas.state_gap_observed lam k past.
Proof.
  intros Hlam Hstep Hk Hpast. eapply Rle_trans; [now apply (gap_observed d step lam)|].
  apply Rmult_le_compat_l; [now apply pow_unit | exact Hpast].
Qed.

Theorem attained lam k t drive : 0 <= lam < 1 -> 0 <= drive -> (k <= t)%nat ->
  contractive line (affine lam 0 drive) lam /\
  line (state (affine lam 0 drive) (fun _ => 0) 0 t) (truncated (affine lam 0 drive) (fun _ => 0) 0
    k t)
  = formulas.state_gap_observed lam k (line (state (affine lam 0 drive) (fun _ => 0) 0 (t - k)) 0).
Proof.
  intros Hlam Hd Hk. pose proof (pow_unit lam k Hlam). split; [apply affine_contractive; lra|].
  rewrite (state_split _ _ _ t k Hk), truncated_long by exact Hk.
  rewrite !line_is, affine_gap by lra. now rewrite Rabs_mult, (Rabs_right (lam ^ k)) by lra.
Qed.

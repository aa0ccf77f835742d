(* State gap for any start and any restart. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem state_gap_any_start {T X} (d : metric T) (o : T) (step : T -> X -> T) (x : nat -> X)
    (lam : R) (k t : nat) (drive start restart : R) (h g : T) :
  0 <= lam < 1 -> contractive d step lam ->
  (forall s, d (step o (x s)) o <= drive) ->
  d h o <= start -> d g o <= restart ->
  (k <= t)%nat ->
  d (state step x h t) (truncated step x g k t)
  <= formulas.state_gap_any_start lam k t drive start restart.
Proof.
  intros Hlam Hstep Hdrive Hh Hg Hk. unfold formulas.state_gap_any_start.
  eapply Rle_trans; [now apply (gap_observed d step lam)|].
  apply Rmult_le_compat_l; [now apply pow_unit|].
  eapply Rle_trans; [apply (distance_triangle d _ o)|].
  apply Rplus_le_compat; [|now rewrite (distance_sym d)].
  eapply Rle_trans; [now apply (run_size d step lam Hlam Hstep x o drive)|].
  apply Rplus_le_compat_r, Rmult_le_compat_l; [now apply pow_unit | exact Hh].
Qed.

Theorem attained lam k t drive start restart :
  0 <= lam < 1 -> 0 <= drive -> 0 <= start -> 0 <= restart -> (k <= t)%nat ->
  contractive line (affine lam 0 drive) lam /\ line (affine lam 0 drive 0 0) 0 = drive /\
  line start 0 = start /\ line (- restart) 0 = restart /\
  line (state (affine lam 0 drive) (fun _ => 0) start t)
    (truncated (affine lam 0 drive) (fun _ => 0) (- restart) k t)
  = formulas.state_gap_any_start lam k t drive start restart.
Proof.
  intros Hlam Hd Hs Hr Hk. repeat split.
  - apply affine_contractive; lra.
  - rewrite affine_drive; lra.
  - rewrite line_is, Rabs_right; lra.
  - rewrite line_is, Rminus_0_r, Rabs_Ropp, Rabs_right; lra.
  - pose proof (pow_unit lam k Hlam). pose proof (pow_unit lam (t - k) Hlam).
    rewrite (state_split _ _ _ t k Hk), truncated_long by exact Hk.
    rewrite line_is, affine_gap by lra. unfold state. rewrite affine_run by lra.
    unfold formulas.state_gap_any_start. rewrite Rabs_right.
    + field. lra.
    + apply Rle_ge, Rmult_le_pos; [lra|].
      replace (0 * 0 + drive) with drive by ring.
      assert (0 <= drive * (1 - lam ^ (t - k)) / (1 - lam)) by (apply div_nonneg; nra). nra.
Qed.

(* Truncation and arithmetic together: both models make steps that err. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

(* G are computed states: each is within error of the step from the one before *)
Definition computed {T X} (d : metric T) (step : T -> X -> T) (x : nat -> X) (from : nat)
    (error : R) (G : nat -> T) : Prop :=
  forall s, d (G (S s)) (step (G s) (x (from + s)%nat)) <= error.

Lemma drifts {T X} (d : metric T) (step : T -> X -> T) (x : nat -> X) lam from error G n :
  0 <= lam < 1 -> contractive d step lam -> computed d step x from error G ->
  d (G n) (run step x (G 0%nat) from n) <= error * (1 - lam ^ n) / (1 - lam).
Proof.
  intros Hlam Hstep HG.
  eapply Rle_trans.
  - apply (recursion lam error (fun n => d (G n) (run step x (G 0%nat) from n))); [lra|lra|].
    intros m. simpl.
    eapply Rle_trans; [apply (distance_triangle d _ (step (G m) (x (from + m)%nat)))|].
    rewrite Rplus_comm. apply Rplus_le_compat; [apply Hstep | apply HG].
  - simpl. rewrite (distance_refl d). right. field. lra.
Qed.

Theorem deployed_error {T X} (d : metric T) (o : T) (step : T -> X -> T) (x : nat -> X)
    (lam : R) (k t : nat) (drive step_error run_error : R) (H G : nat -> T) :
  0 <= lam < 1 -> contractive d step lam ->
  (forall s, d (step o (x s)) o <= drive) -> (k <= t)%nat ->
  H 0%nat = o -> computed d step x 0 run_error H ->
  G 0%nat = o -> computed d step x (t - k) step_error G ->
  d (H t) (G k) <= formulas.deployed_error lam k t drive step_error run_error.
Proof.
  intros Hlam Hstep Hdrive Hk H0 HH G0 HG.
  pose proof (drifts d step x lam 0 run_error H t Hlam Hstep HH) as HR. rewrite H0 in HR.
  pose proof (drifts d step x lam (t - k) step_error G k Hlam Hstep HG) as HW. rewrite G0 in HW.
  pose proof (gap_finite d step lam Hlam Hstep x o drive k t Hdrive Hk) as HE.
  rewrite truncated_long in HE by exact Hk. unfold state in HE.
  pose proof (distance_triangle d (H t) (run step x o 0 t) (G k)).
  pose proof (distance_triangle d (run step x o 0 t) (run step x o (t - k) k) (G k)).
  rewrite (distance_sym d (G k)) in HW.
  unfold formulas.deployed_error.
  replace ((drive * (lam ^ k - lam ^ t) + step_error * (1 - lam ^ k) + run_error * (1 - lam ^ t))
    / (1 - lam)) with (drive * (lam ^ k - lam ^ t) / (1 - lam)
      + step_error * (1 - lam ^ k) / (1 - lam) + run_error * (1 - lam ^ t) / (1 - lam))
    by (field; lra).
  lra.
Qed.

(* h -> lam h + drive, computed too large by one model and too small by the other *)
Theorem attained lam k t drive step_error run_error :
  0 <= lam < 1 -> 0 <= drive -> 0 <= step_error -> 0 <= run_error -> (k <= t)%nat ->
  let H := state (affine lam 0 (drive + run_error)) (fun _ => 0) 0 in
  let G := state (affine lam 0 (drive - step_error)) (fun _ => 0) 0 in
  contractive line (affine lam 0 drive) lam /\ line (affine lam 0 drive 0 0) 0 = drive /\
  computed line (affine lam 0 drive) (fun _ => 0) 0 run_error H /\
  computed line (affine lam 0 drive) (fun _ => 0) (t - k) step_error G /\
  line (H t) (G k) = formulas.deployed_error lam k t drive step_error run_error.
Proof.
  intros Hlam Hd Hs Hr Hk H G. repeat split.
  - apply affine_contractive; lra.
  - rewrite affine_drive; lra.
  - intros s. unfold H, state. rewrite line_is. cbn [run]. unfold affine at 1 3. right.
    rewrite Rabs_right; lra.
  - intros s. unfold G, state. rewrite line_is. cbn [run]. unfold affine at 1 3. right.
    rewrite Rabs_left1; lra.
  - unfold H, G, state. rewrite line_is, !affine_run by lra. unfold formulas.deployed_error.
    pose proof (pow_unit lam k Hlam). pose proof (pow_unit lam (t - k) Hlam).
    rewrite (pow_split lam k t Hk). rewrite Rabs_right; [field; lra|].
    apply Rle_ge.
    replace (lam ^ k * lam ^ (t - k) * 0
      + (0 * 0 + (drive + run_error)) * (1 - lam ^ k * lam ^ (t - k)) / (1 - lam)
      - (lam ^ k * 0 + (0 * 0 + (drive - step_error)) * (1 - lam ^ k) / (1 - lam)))
      with ((drive * (lam ^ k * (1 - lam ^ (t - k))) + step_error * (1 - lam ^ k)
        + run_error * (1 - lam ^ k * lam ^ (t - k))) / (1 - lam)) by (field; lra).
    apply div_nonneg; [|lra].
    assert (0 <= lam ^ k * (1 - lam ^ (t - k))) by nra.
    assert (lam ^ k * lam ^ (t - k) <= 1) by nra. nra.
Qed.

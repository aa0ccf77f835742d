(* Smoothness of the loss in the parameters, for every length of history. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import tangent.

Theorem loss_smoothness {m : tangent_map} (w v : P m) (h : T m) (x : nat -> X m) (t : nat)
    (lam weight_gain loss_gain beta_hh beta_hw beta_wh beta_ww beta_p distance : R) :
  0 <= lam < 1 -> contracts lam w -> contracts lam v ->
  0 <= weight_gain -> weights_bounded weight_gain v ->
  (forall g u, d (step w g u) (step v g u) <= weight_gain * p w v) ->
  0 <= beta_hh -> 0 <= beta_hw -> 0 <= beta_wh -> 0 <= beta_ww ->
  smooth beta_hh beta_hw beta_wh beta_ww w v ->
  0 <= loss_gain -> @loss_lipschitz m loss_gain -> 0 <= beta_p -> @loss_smooth m beta_p ->
  p w v <= distance ->
  size (minus (gradient (state (carry w) x (h, origin) t)) (gradient (state (carry v) x (h,
    origin) t)))
  <= formulas.loss_smoothness lam weight_gain loss_gain beta_hh beta_hw beta_wh beta_ww beta_p
    distance.
Proof.
  intros Hlam Hcw Hcv HL Hw Hgain Hhh Hhw Hwh Hww Hs Hl Hloss Hp Hsmooth Hdist.
  set (c := / (1 - lam)). assert (Hinv : 0 < c) by (apply Rinv_0_lt_compat; lra).
  pose proof (distance_nonneg p w v) as Hd0.
  assert (geometric : forall a n, 0 <= a -> a * (1 - lam ^ n) / (1 - lam) <= a * c).
  { intros a n Ha. pose proof (pow_unit lam n Hlam). unfold Rdiv. fold c.
    assert (0 <= a * c) by nra. nra. }
  assert (states : forall n, d (fst (run (carry w) x (h, origin) 0 n)) (fst (run (carry v) x (h,
    origin) 0 n))
    <= distance * weight_gain * c).
  { intros n. rewrite !carry_state. cbn [fst].
    eapply Rle_trans; [apply (recursion lam (distance * weight_gain)
      (fun n => d (run (step w) x h 0 n) (run (step v) x h 0 n))); [lra|lra|]|].
    - intros i. simpl. eapply Rle_trans;
      [apply (distance_triangle d _ (step w (run (step v) x h 0 i) (x i)))|].
      apply Rplus_le_compat; [apply (proj1 Hcw)|]. eapply Rle_trans; [apply Hgain|]. nra.
    - simpl. rewrite (distance_refl d), Rmult_0_r, Rplus_0_l. apply geometric. nra. }
  assert (derivatives : forall n, size (snd (run (carry v) x (h, origin) 0 n)) <= weight_gain * c).
  { intros n. eapply Rle_trans; [now apply (derivative_size lam weight_gain)|]. cbn [snd].
    rewrite size_origin, Rmult_0_r, Rplus_0_l. now apply geometric. }
  set (more := (beta_hh * (distance * weight_gain * c) + beta_hw * distance) * (weight_gain * c)
    + (beta_wh * (distance * weight_gain * c) + beta_ww * distance)).
  assert (0 <= distance) by lra. assert (0 <= weight_gain * c) by nra.
  assert (0 <= distance * weight_gain * c) by (rewrite Rmult_assoc; nra).
  assert (Hmore : 0 <= more).
  { unfold more. repeat apply Rplus_le_le_0_compat; try (apply Rmult_le_pos; lra).
    apply Rmult_le_pos; [|lra]. apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra. }
  assert (apart : forall n, size (minus (snd (run (carry w) x (h, origin) 0 n))
      (snd (run (carry v) x (h, origin) 0 n))) <= more * c).
  { intros n. eapply Rle_trans; [apply (recursion lam more (fun n => size (minus
      (snd (run (carry w) x (h, origin) 0 n)) (snd (run (carry v) x (h, origin) 0 n)))));
        [lra|lra|]|].
    - intros i. simpl.
      eapply Rle_trans; [apply (derivative_gap lam beta_hh beta_hw beta_wh beta_ww w v);
        assumption|].
      apply Rplus_le_compat_l. unfold more.
      pose proof (states i) as Hi. pose proof (derivatives i) as Di.
      pose proof (distance_nonneg d (fst (run (carry w) x (h, origin) 0 i))
        (fst (run (carry v) x (h, origin) 0 i))) as Hi0.
      pose proof (size_nonneg (snd (run (carry v) x (h, origin) 0 i))) as Di0.
      apply Rplus_le_compat.
      + apply Rmult_le_compat; [|exact Di0| |exact Di].
        * apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra.
        * apply Rplus_le_compat; apply Rmult_le_compat_l; lra.
      + apply Rplus_le_compat; apply Rmult_le_compat_l; lra.
    - simpl. rewrite minus_self, size_origin, Rmult_0_r, Rplus_0_l. now apply geometric. }
  eapply Rle_trans; [apply (gradient_difference loss_gain beta_p); assumption|].
  unfold state. specialize (states t). specialize (derivatives t). specialize (apart t).
  pose proof (distance_nonneg d (fst (run (carry w) x (h, origin) 0 t))
    (fst (run (carry v) x (h, origin) 0 t))) as S0.
  pose proof (size_nonneg (snd (run (carry v) x (h, origin) 0 t))) as D0.
  apply Rle_trans with (loss_gain * (more * c) + beta_p * (distance * weight_gain * c) *
    (weight_gain * c)).
  - apply Rplus_le_compat; [apply Rmult_le_compat_l; lra|].
    apply Rmult_le_compat; [apply Rmult_le_pos; lra | exact D0 | apply Rmult_le_compat_l; lra |
      exact derivatives].
  - right. unfold formulas.loss_smoothness, more, c. field. lra.
Qed.

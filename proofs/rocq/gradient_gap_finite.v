(* Gradient gap of the k-step model after t inputs. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import tangent.

Theorem gradient_gap_finite {m : tangent_map} (w : P m) (o : T m) (x : nat -> X m)
    (lam : R) (k t : nat) (past weight_gain loss_gain beta_hh beta_hw beta_wh beta_ww beta_p : R) :
  0 <= lam < 1 -> contracts lam w -> 0 <= weight_gain -> weights_bounded weight_gain w ->
  0 <= beta_hh -> 0 <= beta_wh -> smooth beta_hh beta_hw beta_wh beta_ww w w ->
  0 <= loss_gain -> @loss_lipschitz m loss_gain -> 0 <= beta_p -> @loss_smooth m beta_p ->
  (1 <= k)%nat -> (k <= t)%nat -> d (state (step w) x o (t - k)) o <= past ->
  size (minus (gradient (state (carry w) x (o, origin) t))
              (gradient (truncated (carry w) x (o, origin) k t)))
  <= formulas.gradient_gap_finite lam k t past weight_gain loss_gain beta_hh beta_wh beta_p.
Proof.
  intros Hlam Hc HL Hw Hhh Hwh Hs Hl Hloss Hp Hsmooth Hone Hk Hpast.
  rewrite (state_split _ x (o, origin) t k Hk), truncated_long by exact Hk.
  set (s := state (carry w) x (o, origin) (t - k)).
  assert (same : fst s = state (step w) x o (t - k)) by (unfold s, state; now rewrite carry_state).
  assert (bounded : size (snd s) <= weight_gain * (1 - lam ^ (t - k)) / (1 - lam)).
  { unfold s, state. eapply Rle_trans; [now apply (derivative_size lam weight_gain)|].
    cbn [snd]. rewrite size_origin. lra. }
  rewrite <- same in Hpast. destruct s as [h A]. cbn [fst snd] in *.
  pose proof (pow_unit lam k Hlam) as Hk1.
  eapply Rle_trans; [apply (gradient_difference loss_gain beta_p); assumption|].
  pose proof (restarted_gap lam weight_gain beta_hh beta_hw beta_wh beta_ww Hlam
    w x h o A (t - k) k past HL Hhh Hwh Hc Hw Hs Hpast) as gap.
  pose proof (derivative_size lam weight_gain Hlam w x (o, origin) (t - k) k Hc Hw) as HD.
  cbn [snd] in HD. rewrite size_origin, Rmult_0_r, Rplus_0_l in HD.
  assert (He : d (fst (run (carry w) x (h, A) (t - k) k)) (fst (run (carry w) x (o,
    origin) (t - k) k))
               <= lam ^ k * past).
  { rewrite !carry_state. cbn [fst].
    eapply Rle_trans; [apply (run_forgets d (step w) lam); [exact Hlam | apply Hc]|].
    apply Rmult_le_compat_l; lra. }
  pose proof (distance_nonneg d (fst (run (carry w) x (h, A) (t - k) k))
    (fst (run (carry w) x (o, origin) (t - k) k))) as He0.
  pose proof (size_nonneg (snd (run (carry w) x (o, origin) (t - k) k))) as HD0.
  set (e := d (fst (run (carry w) x (h, A) (t - k) k)) (fst (run (carry w) x (o,
    origin) (t - k) k))) in *.
  unfold formulas.gradient_gap_finite. apply Rplus_le_compat.
  - apply Rmult_le_compat_l; [exact Hl|]. eapply Rle_trans; [exact gap|]. apply Rplus_le_compat_r.
    replace (lam ^ k * weight_gain * (1 - lam ^ (t - k)) / (1 - lam))
      with (lam ^ k * (weight_gain * (1 - lam ^ (t - k)) / (1 - lam))) by (field; lra).
    apply Rmult_le_compat_l; lra.
  - replace (beta_p * lam ^ k * past * weight_gain * (1 - lam ^ k) / (1 - lam))
      with (beta_p * (lam ^ k * past) * (weight_gain * (1 - lam ^ k) / (1 - lam))) by (field; lra).
    apply Rmult_le_compat; [nra | exact HD0 | nra | exact HD].
Qed.

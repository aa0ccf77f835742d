(* Gradient gap of the k-step model, for every length of history. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import tangent.

Theorem gradient_gap {m : tangent_map} (w : P m) (o : T m) (x : nat -> X m)
    (lam : R) (k t : nat) (drive weight_gain loss_gain beta_hh beta_hw beta_wh beta_ww beta_p : R) :
  0 <= lam < 1 -> contracts lam w -> 0 <= weight_gain -> weights_bounded weight_gain w ->
  0 <= beta_hh -> 0 <= beta_wh -> smooth beta_hh beta_hw beta_wh beta_ww w w ->
  0 <= loss_gain -> @loss_lipschitz m loss_gain -> 0 <= beta_p -> @loss_smooth m beta_p ->
  (forall s, d (step w o (x s)) o <= drive) ->
  (1 <= k)%nat ->
  size (minus (gradient (state (carry w) x (o, origin) t))
              (gradient (truncated (carry w) x (o, origin) k t)))
  <= formulas.gradient_gap lam k drive weight_gain loss_gain beta_hh beta_wh beta_p.
Proof.
  intros Hlam Hc HL Hw Hhh Hwh Hs Hl Hloss Hp Hsmooth Hdrive Hone.
  assert (Hd : 0 <= drive).
  { pose proof (distance_nonneg d (step w o (x 0%nat)) o). specialize (Hdrive 0%nat). lra. }
  assert (Hk1 : 1 <= INR k) by (apply (le_INR 1); exact Hone).
  pose proof (pow_unit lam k Hlam) as Hpow. pose proof (pow_unit lam (k - 1) Hlam) as Hpow1.
  assert (split : lam ^ k = lam * lam ^ (k - 1)).
  { destruct k as [|k]; [lia|]. simpl. now rewrite Nat.sub_0_r. }
  set (c := / (1 - lam)). assert (Hinv : 0 < c) by (apply Rinv_0_lt_compat; lra).
  (* the three terms of the finite bound with past = drive / (1 - lam) *)
  set (bound := loss_gain * (lam ^ k * weight_gain * c)
    + loss_gain * (lam ^ (k - 1) * (drive * c) * (INR k * beta_wh + beta_hh * weight_gain * INR k *
      c))
    + beta_p * (lam ^ k * (drive * c)) * (weight_gain * c)).
  assert (enough : bound
    <= formulas.gradient_gap lam k drive weight_gain loss_gain beta_hh beta_wh beta_p).
  { apply Rminus_le. apply Rle_trans with (- ((INR k - 1)
        * (lam ^ k * weight_gain * c * (loss_gain + beta_p * drive * c)))).
    - right. unfold bound, formulas.gradient_gap, Rdiv. fold c. rewrite split. ring.
    - assert (0 <= (INR k - 1) * (lam ^ k * weight_gain * c * (loss_gain + beta_p * drive * c)));
      [|lra].
      assert (0 <= beta_p * drive * c) by (apply Rmult_le_pos; [apply Rmult_le_pos|]; lra).
      repeat apply Rmult_le_pos; lra. }
  assert (positive : 0 <= bound).
  { unfold bound.
    assert (0 <= beta_hh * weight_gain * INR k * c)
      by (apply Rmult_le_pos; [apply Rmult_le_pos; [apply Rmult_le_pos|]|]; lra).
    assert (0 <= INR k * beta_wh) by (apply Rmult_le_pos; lra).
    repeat apply Rplus_le_le_0_compat; repeat apply Rmult_le_pos; lra. }
  eapply Rle_trans; [|exact enough].
  destruct (le_lt_dec k t) as [Hk|Hk].
  2: { rewrite truncated_short by lia. rewrite minus_self, size_origin. exact positive. }
  rewrite (state_split _ x (o, origin) t k Hk), truncated_long by exact Hk.
  set (s := state (carry w) x (o, origin) (t - k)).
  assert (Hpast : d (fst s) o <= drive * c).
  { unfold s, state. rewrite carry_state. cbn [fst].
    eapply Rle_trans; [apply (run_size d (step w) lam Hlam (proj1 Hc) x o drive); exact Hdrive|].
    rewrite (distance_refl d). pose proof (pow_unit lam (t - k) Hlam). unfold Rdiv. fold c.
    assert (0 <= drive * c) by nra. nra. }
  assert (bounded : size (snd s) <= weight_gain * c).
  { unfold s, state. eapply Rle_trans; [now apply (derivative_size lam weight_gain)|].
    cbn [snd]. rewrite size_origin. pose proof (pow_unit lam (t - k) Hlam). unfold Rdiv. fold c.
    assert (0 <= weight_gain * c) by nra. nra. }
  destruct s as [h A]. cbn [fst snd] in *.
  eapply Rle_trans; [apply (gradient_difference loss_gain beta_p); assumption|].
  pose proof (restarted_gap lam weight_gain beta_hh beta_hw beta_wh beta_ww Hlam
    w x h o A (t - k) k (drive * c) HL Hhh Hwh Hc Hw Hs Hpast) as gap.
  pose proof (derivative_size lam weight_gain Hlam w x (o, origin) (t - k) k Hc Hw) as HD.
  cbn [snd] in HD. rewrite size_origin, Rmult_0_r, Rplus_0_l in HD.
  assert (HD1 : size (snd (run (carry w) x (o, origin) (t - k) k)) <= weight_gain * c).
  { eapply Rle_trans; [exact HD|]. unfold Rdiv. fold c. assert (0 <= weight_gain * c) by nra. nra. }
  assert (He : d (fst (run (carry w) x (h, A) (t - k) k)) (fst (run (carry w) x (o,
    origin) (t - k) k))
               <= lam ^ k * (drive * c)).
  { rewrite !carry_state. cbn [fst].
    eapply Rle_trans; [apply (run_forgets d (step w) lam); [exact Hlam | apply Hc]|].
    apply Rmult_le_compat_l; lra. }
  pose proof (distance_nonneg d (fst (run (carry w) x (h, A) (t - k) k))
    (fst (run (carry w) x (o, origin) (t - k) k))) as He0.
  pose proof (size_nonneg (snd (run (carry w) x (o, origin) (t - k) k))) as HD0.
  unfold bound. apply Rplus_le_compat.
  - rewrite <- Rmult_plus_distr_l. apply Rmult_le_compat_l; [exact Hl|].
    eapply Rle_trans; [exact gap|]. apply Rplus_le_compat.
    + rewrite Rmult_assoc. apply Rmult_le_compat_l; [lra | exact bounded].
    + apply Rmult_le_compat_l; [apply Rmult_le_pos; [lra|]; nra|]. apply Rplus_le_compat_l.
      unfold Rdiv at 1. fold c. apply Rmult_le_compat_r; [lra|].
      apply Rmult_le_compat_l; [nra|]. assert (0 <= (1 - lam ^ k) / (1 - lam)) by (apply div_nonneg;
        lra).
      lra.
  - apply Rmult_le_compat; [nra | exact HD0 | nra | exact HD1].
Qed.

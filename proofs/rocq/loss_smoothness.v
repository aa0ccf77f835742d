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

(* A witness: h -> w h + drive with the parameter 0 <= w <= lam, p(h) = h, on the states between 0
   and drive / (1 - lam). *)
Section Slopes.
  Variables (lam drive : R) (Hlam : 0 <= lam < 1) (Hdrive : 0 <= drive).
  Let top := drive / (1 - lam).

  Lemma kept (w : box lam) (h : box top) :
    0 <= proj1_sig w * proj1_sig h + drive <= top.
  Proof.
    destruct w as [w [Hw0 Hw1]], h as [h [Hh0 Hh1]]. cbn.
    pose proof (stays lam drive h Hlam Hdrive (conj Hh0 Hh1)) as [_ H]. unfold top. nra.
  Qed.

  Definition sloped : tangent_map.
  Proof.
    refine (Tangent (box top) unit (box lam) (box_metric _) (box_metric _) reals reals
      (fun w h _ => exist _ (proj1_sig w * proj1_sig h + drive) (kept w h))
      (fun w _ _ A => proj1_sig w * A) (fun _ h _ => proj1_sig h) (fun _ A => A) _ _).
    - intros. apply (@minus_scale reals).
    - reflexivity.
  Defined.

  Definition rest : T sloped.
  Proof. refine (exist _ 0 _). split; [lra|]. apply div_nonneg; lra. Defined.

  Let x (_ : nat) : X sloped := tt.

  Lemma sloped_run (w : P sloped) n :
    proj1_sig (fst (run (carry w) x (rest, origin) 0 n))
    = drive * (1 - proj1_sig w ^ n) / (1 - proj1_sig w) /\
    snd (run (carry w) x (rest, origin) 0 n)
    = drive * (1 - proj1_sig w ^ n) / (1 - proj1_sig w) ^ 2
      - INR n * proj1_sig w ^ (n - 1) * drive / (1 - proj1_sig w).
  Proof.
    destruct w as [w Hw]. cbn [proj1_sig]. induction n as [|n [IHh IHd]].
    - simpl. split; field; lra.
    - cbn [run]. unfold carry at 1 3. cbn [fst snd]. split.
      + change (w * proj1_sig (fst (run (carry (m := sloped) (exist _ w Hw)) x (rest, origin) 0 n))
          + drive = drive * (1 - w ^ S n) / (1 - w)).
        rewrite IHh. simpl. field. lra.
      + change (w * snd (run (carry (m := sloped) (exist _ w Hw)) x (rest, origin) 0 n)
          + proj1_sig (fst (run (carry (m := sloped) (exist _ w Hw)) x (rest, origin) 0 n))
          = drive * (1 - w ^ S n) / (1 - w) ^ 2 - INR (S n) * w ^ (S n - 1) * drive / (1 - w)).
        rewrite IHh, IHd, S_INR. replace (S n - 1)%nat with n by lia.
        destruct n as [|n]; [simpl; field; lra|]. replace (S n - 1)%nat with n by lia.
        simpl pow. field. lra.
  Qed.

  Lemma sloped_assumptions (w v : P sloped) : contracts lam w /\ weights_bounded top w /\
    (forall g u, d (step w g u) (step v g u) <= top * p w v) /\ smooth 0 1 1 0 w v /\
    @loss_lipschitz sloped 1 /\ @loss_smooth sloped 0.
  Proof.
    destruct w as [w Hw], v as [v Hv]. split; [split|split; [|split; [|split; [split|split]]]].
    - intros h g u. cbn. replace (w * proj1_sig h + drive - (w * proj1_sig g + drive))
        with (w * (proj1_sig h - proj1_sig g)) by ring. rewrite Rabs_mult, (Rabs_right w) by lra.
      apply Rmult_le_compat_r; [apply Rabs_pos | lra].
    - intros h u A. cbn. rewrite Rabs_mult, (Rabs_right w) by lra.
      apply Rmult_le_compat_r; [apply Rabs_pos | lra].
    - intros h u. cbn. destruct h as [h Hh]. cbn. rewrite Rabs_right; [apply Hh | lra].
    - intros [h Hh] u. cbn. replace (w * h + drive - (v * h + drive)) with (h * (w - v)) by ring.
      rewrite Rabs_mult, (Rabs_right h) by lra. apply Rmult_le_compat_r; [apply Rabs_pos | lra].
    - intros h g u A. cbn. replace (w * A + -1 * (v * A)) with ((w - v) * A) by ring.
      rewrite Rabs_mult. right. ring.
    - intros h g u. cbn. replace (proj1_sig h + -1 * proj1_sig g) with (proj1_sig h - proj1_sig g)
        by ring. lra.
    - intros h A. cbn. lra.
    - intros h g A. cbn. replace (A + -1 * A) with 0 by ring. rewrite Rabs_R0. lra.
  Qed.

  (* to first order in the distance: the factor tends to 1 with it *)
  Theorem approached (distance eps : R) : 0 <= distance <= lam -> 0 < eps ->
    exists w v : P sloped, p w v = distance /\ exists t,
    formulas.loss_smoothness lam top 1 0 1 1 0 0 distance
      * ((1 - lam) / (1 - lam + distance)) ^ 2 - eps
    < size (minus (gradient (state (carry w) x (rest, origin) t))
                  (gradient (state (carry v) x (rest, origin) t))).
  Proof.
    intros Hd He. assert (Hw : 0 <= lam <= lam) by lra. assert (Hv : 0 <= lam - distance <= lam)
      by lra.
    exists (exist _ lam Hw : P sloped), (exist _ (lam - distance) Hv : P sloped). split.
    { change (Rabs (lam - (lam - distance)) = distance). rewrite Rabs_right; lra. }
    set (a := 1 - lam). assert (Ha : 0 < a) by (unfold a; lra).
    set (c := drive / a ^ 2 + drive / a).
    assert (Ha2 : 0 < a ^ 2) by (apply pow_lt; lra).
    assert (Hc : 0 <= c).
    { unfold c. pose proof (div_nonneg drive (a ^ 2) Hdrive Ha2).
      pose proof (div_nonneg drive a Hdrive Ha). lra. }
    destruct (linear_fades lam (eps / (c + 1)) Hlam) as [t [Ht Ht1]];
      [apply Rdiv_lt_0_compat; lra|].
    exists t. unfold state.
    pose proof (sloped_run (exist _ lam Hw) t) as [_ Da].
    pose proof (sloped_run (exist _ (lam - distance) Hv) t) as [_ Db]. cbn [proj1_sig] in Da, Db.
    eapply Rlt_le_trans; [|right; symmetry; exact (f_equal2 (fun a b => Rabs (a + -1 * b)) Da Db)].
    eapply Rlt_le_trans; [|apply Rle_abs].
    set (v := lam - distance) in *. assert (Hv1 : 0 <= v < 1) by (unfold v; lra).
    replace (1 - v) with (a + distance) by (unfold a, v; ring). fold a.
    pose proof (pow_unit v t Hv1) as Pv. pose proof (pow_unit v (t - 1) Hv1) as Qv.
    pose proof (pow_unit lam t Hlam) as Pw. pose proof (pow_unit lam (t - 1) Hlam) as Qw.
    pose proof (le_INR 1 t Ht1) as HtR. simpl (INR 1) in HtR.
    apply (Rmult_lt_compat_r (c + 1)) in Ht; [|lra].
    replace (eps / (c + 1) * (c + 1)) with eps in Ht by (field; lra).
    assert (split : lam ^ t = lam * lam ^ (t - 1)).
    { destruct t as [|r]; [lia|]. simpl. now rewrite Nat.sub_0_r. }
    assert (small : lam ^ t * (drive / a ^ 2) + INR t * lam ^ (t - 1) * (drive / a) < eps).
    { pose proof (div_nonneg drive (a ^ 2) Hdrive Ha2). pose proof (div_nonneg drive a Hdrive Ha).
      set (z := lam ^ (t - 1)) in *. assert (lam ^ t <= INR t * z) by (rewrite split; nra).
      assert (0 <= INR t * z) by nra. unfold c in Ht. nra. }
    assert (other : drive * (1 - v ^ t) / (a + distance) ^ 2
      - INR t * v ^ (t - 1) * drive / (a + distance) <= drive / (a + distance) ^ 2).
    { assert (0 < (a + distance) ^ 2) by (apply pow_lt; lra).
      pose proof (div_nonneg drive ((a + distance) ^ 2) Hdrive ltac:(assumption)).
      pose proof (div_nonneg drive (a + distance) Hdrive ltac:(lra)).
      replace (drive * (1 - v ^ t) / (a + distance) ^ 2)
        with (drive / (a + distance) ^ 2 * (1 - v ^ t)) by (field; lra).
      replace (INR t * v ^ (t - 1) * drive / (a + distance))
        with (INR t * v ^ (t - 1) * (drive / (a + distance))) by (field; lra).
      assert (0 <= INR t * v ^ (t - 1)) by nra. nra. }
    assert (own : drive * (1 - lam ^ t) / a ^ 2 - INR t * lam ^ (t - 1) * drive / a
      = drive / a ^ 2 - (lam ^ t * (drive / a ^ 2) + INR t * lam ^ (t - 1) * (drive / a)))
      by (field; lra).
    assert (first_order : formulas.loss_smoothness lam top 1 0 1 1 0 0 distance
      * (a / (a + distance)) ^ 2 <= drive / a ^ 2 - drive / (a + distance) ^ 2).
    { unfold formulas.loss_smoothness, top. fold a.
      apply Rminus_le. match goal with |- ?l <= 0 => replace l
        with (- (drive * distance ^ 2 / (a ^ 2 * (a + distance) ^ 2))) by (field; lra) end.
      assert (0 <= drive * distance ^ 2 / (a ^ 2 * (a + distance) ^ 2)); [|lra].
      apply div_nonneg; [apply Rmult_le_pos; [lra | apply pow2_ge_0]|].
      apply Rmult_lt_0_compat; apply pow_lt; lra. }
    lra.
  Qed.
End Slopes.

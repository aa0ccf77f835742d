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

(* h -> lam h + drive, p(h) = h, with lam as the parameter, at k = 1 after a long history *)
Theorem approached lam drive eps (Hlam : 0 <= lam < 1) (Hdrive : 0 <= drive) : 0 < eps ->
  let m := driven lam drive Hlam Hdrive in
  let o := nothing lam drive Hlam Hdrive in
  let x (_ : nat) : X m := tt in
  let top := drive / (1 - lam) in
  contracts (m := m) lam tt /\ weights_bounded (m := m) top tt /\ smooth (m := m) 0 0 1 0 tt tt /\
  loss_lipschitz (m := m) 1 /\ loss_smooth (m := m) 0 /\
  d (step (t := m) tt o tt) o = drive /\
  exists t, formulas.gradient_gap lam 1 drive top 1 0 1 0 - eps
  < size (minus (gradient (state (carry (m := m) tt) x (o, origin) t))
                (gradient (truncated (carry (m := m) tt) x (o, origin) 1 t))).
Proof.
  intros He m o x top. pose proof (driven_assumptions lam drive Hlam Hdrive) as (H1 & H2 & H3 & H4 &
    H5).
  repeat (split; [assumption|]).
  assert (Htop : 0 <= top) by (apply div_nonneg; lra).
  set (c := top / (1 - lam) + top). assert (Hc : 0 <= c).
  { unfold c. pose proof (div_nonneg top (1 - lam) Htop ltac:(lra)). lra. }
  split.
  { change (Rabs (lam * 0 + drive - 0) = drive). rewrite Rabs_right; lra. }
  destruct (linear_fades lam (eps / (c + 1)) Hlam) as [s [Hs Hs1]]; [apply Rdiv_lt_0_compat; lra|].
  exists (s + 1)%nat.
  rewrite (state_split _ x (o, origin) (s + 1) 1), truncated_long by lia.
  replace (s + 1 - 1)%nat with s by lia. set (past := state (carry (m := m) tt) x (o, origin) s).
  pose proof (driven_run lam drive Hlam Hdrive (o, origin) 0 s) as [Hh HD].
  pose proof (driven_run lam drive Hlam Hdrive past s 1) as [_ Ha].
  pose proof (driven_run lam drive Hlam Hdrive (o, origin) s 1) as [_ Hb].
  change (run (carry (m := driven lam drive Hlam Hdrive) tt) (fun _ => tt) (o, origin) 0 s)
    with past in Hh, HD.
  cbn [fst snd] in Hh, HD, Hb.
  change (@origin (M (driven lam drive Hlam Hdrive))) with 0 in HD, Hb.
  change (proj1_sig o) with 0 in Hh, HD, Hb. fold top in Hh, HD, Ha, Hb.
  rewrite Hh, HD in Ha.
  eapply Rlt_le_trans; [|right; symmetry; exact (f_equal2 (fun a b => Rabs (a + -1 * b)) Ha Hb)].
  eapply Rlt_le_trans; [|apply Rle_abs].
  unfold formulas.gradient_gap.
  pose proof (pow_unit lam (s - 1) Hlam). pose proof (le_INR 1 s Hs1) as Hs2. simpl (INR 1) in *.
  apply (Rmult_lt_compat_r (c + 1)) in Hs; [|lra].
  replace (eps / (c + 1) * (c + 1)) with eps in Hs by (field; lra).
  assert (split : lam ^ s = lam * lam ^ (s - 1)).
  { destruct s as [|r]; [lia|]. simpl. now rewrite Nat.sub_0_r. }
  (* what is missing is lam^s top / (1 - lam) + s lam^s top *)
  match goal with |- ?a - eps < ?b => assert (missing : a - b
    = lam * (lam ^ (s - 1) * (top / (1 - lam)) + INR s * lam ^ (s - 1) * top)) end.
  { simpl (1 - 1)%nat. rewrite split. unfold top. simpl. field. lra. }
  pose proof (div_nonneg top (1 - lam) Htop ltac:(lra)) as Hq.
  assert (lam ^ (s - 1) * (top / (1 - lam)) <= INR s * lam ^ (s - 1) * (top / (1 - lam))).
  { rewrite Rmult_assoc. assert (0 <= lam ^ (s - 1) * (top / (1 - lam))) by (apply Rmult_le_pos;
    lra).
    nra. }
  assert (0 <= INR s * lam ^ (s - 1)) by nra.
  assert (0 <= INR s * lam ^ (s - 1) * c) by nra.
  assert (lam ^ (s - 1) * (top / (1 - lam)) + INR s * lam ^ (s - 1) * top
    <= INR s * lam ^ (s - 1) * c)
    by (unfold c; lra).
  nra.
Qed.

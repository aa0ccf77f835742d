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

(* h -> lam h + drive, p(h) = h, with lam as the parameter, after a long history *)
Theorem approached lam drive k eps (Hlam : 0 <= lam < 1) (Hdrive : 0 <= drive) :
  (1 <= k)%nat -> 0 < eps ->
  let m := driven lam drive Hlam Hdrive in
  let o := nothing lam drive Hlam Hdrive in
  let x (_ : nat) : X m := tt in
  let top := drive / (1 - lam) in
  contracts (m := m) lam tt /\ weights_bounded (m := m) top tt /\ smooth (m := m) 0 0 1 0 tt tt /\
  loss_lipschitz (m := m) 1 /\ loss_smooth (m := m) 0 /\
  exists t, (k <= t)%nat /\
  formulas.gradient_gap_finite lam k t (d (state (step (t := m) tt) x o (t - k)) o) top 1 0 1 0 -
    eps
  < size (minus (gradient (state (carry (m := m) tt) x (o, origin) t))
                (gradient (truncated (carry (m := m) tt) x (o, origin) k t))).
Proof.
  intros Hk He m o x top. pose proof (driven_assumptions lam drive Hlam Hdrive) as (H1 & H2 & H3 &
    H4 & H5).
  repeat (split; [assumption|]).
  assert (Htop : 0 <= top) by (apply div_nonneg; lra).
  destruct (linear_fades lam (eps / (top + 1)) Hlam) as [s [Hs Hs1]]; [apply Rdiv_lt_0_compat;
    lra|].
  exists (s + k)%nat. split; [lia|]. replace (s + k - k)%nat with s by lia.
  rewrite (state_split _ x (o, origin) (s + k) k), truncated_long by lia.
  replace (s + k - k)%nat with s by lia. set (past := state (carry (m := m) tt) x (o, origin) s).
  pose proof (driven_run lam drive Hlam Hdrive (o, origin) 0 s) as [Hh HD].
  pose proof (driven_run lam drive Hlam Hdrive past s k) as [_ Ha].
  pose proof (driven_run lam drive Hlam Hdrive (o, origin) s k) as [_ Hb].
  change (run (carry (m := driven lam drive Hlam Hdrive) tt) (fun _ => tt) (o, origin) 0 s)
    with past in Hh, HD.
  cbn [fst snd] in Hh, HD, Hb.
  change (@origin (M (driven lam drive Hlam Hdrive))) with 0 in HD, Hb.
  change (proj1_sig o) with 0 in Hh, HD, Hb. fold top in Hh, HD, Ha, Hb.
  assert (state_is : d (state (step (t := m) tt) x o s) o = top * (1 - lam ^ s)).
  { pose proof (carry_state (m := m) tt x (o, origin) 0 s) as same. cbn [fst] in same.
    unfold state. rewrite <- same.
    etransitivity; [exact (f_equal (fun z => Rabs (z - 0)) Hh)|]. pose proof (pow_unit lam s Hlam).
    rewrite Rmult_0_r, Rplus_0_l, Rminus_0_r, Rabs_right; [reflexivity|nra]. }
  rewrite state_is. rewrite Hh, HD in Ha.
  eapply Rlt_le_trans; [|right; symmetry; exact (f_equal2 (fun a b => Rabs (a + -1 * b)) Ha Hb)].
  eapply Rlt_le_trans; [|apply Rle_abs].
  unfold formulas.gradient_gap_finite. replace (s + k - k)%nat with s by lia.
  pose proof (pow_unit lam k Hlam). pose proof (pow_unit lam (s - 1) Hlam). pose proof (pos_INR s).
  apply (Rmult_lt_compat_r (top + 1)) in Hs; [|lra].
  replace (eps / (top + 1) * (top + 1)) with eps in Hs by (field; lra).
  assert (small : lam ^ k * (INR s * lam ^ (s - 1) * top) < eps).
  { assert (0 <= INR s * lam ^ (s - 1)) by nra. assert (0 <= INR s * lam ^ (s - 1) * top)
    by nra. nra. }
  match goal with |- ?a - eps < ?b => assert (a - b = lam ^ k * (INR s * lam ^ (s - 1) * top))
    by (field; lra) end.
  lra.
Qed.

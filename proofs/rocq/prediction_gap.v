(* Prediction gap after training: the recurrent twin against the k-step model of the other. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem prediction_gap {T X P Y} (d : metric T) (e : metric P) (p : metric Y) (o : T)
    (step : P -> T -> X -> T) (x : nat -> X) (f : T -> Y)
    (lam : R) (k t : nat) (drive weight_gain lipschitz distance : R) (w v : P) :
  0 <= lam < 1 -> contractive d (step w) lam -> contractive d (step v) lam ->
  0 <= weight_gain ->
  (forall s, d (step w (state (step v) x o s) (x s)) (step v (state (step v) x o s) (x s))
             <= weight_gain * e w v) ->
  e w v <= distance ->
  (forall s, d (step v o (x s)) o <= drive) ->
  0 <= lipschitz -> lipschitz_map d p f lipschitz ->
  p (f (state (step w) x o t)) (f (truncated (step v) x o k t))
  <= formulas.prediction_gap lam k drive weight_gain lipschitz distance.
Proof.
  intros Hlam Hw Hv Hg Hgain Hd Hdrive Hl Hf. eapply Rle_trans; [apply Hf|].
  replace (formulas.prediction_gap lam k drive weight_gain lipschitz distance)
    with (lipschitz * (weight_gain * distance / (1 - lam) + drive * lam ^ k / (1 - lam)))
    by (unfold formulas.prediction_gap; field; lra).
  apply Rmult_le_compat_l; [exact Hl|].
  eapply Rle_trans; [apply (distance_triangle d _ (state (step v) x o t))|].
  apply Rplus_le_compat; [|now apply (gap_always d (step v) lam)].
  eapply Rle_trans; [now apply (parameters_part d e step x lam weight_gain)|].
  apply div_le; [lra|]. now apply Rmult_le_compat_l.
Qed.

Theorem approached lam k drive distance eps : 0 <= lam < 1 -> 0 <= drive -> 0 <= distance -> 0
  < eps ->
  let step (w h : R) (_ : R) := lam * h + w in
  (forall w, contractive line (step w) lam) /\
  (forall w v h x, line (step w h x) (step v h x) = 1 * line w v) /\
  line (drive + distance) drive = distance /\ line (step drive 0 0) 0 = drive /\
  exists t, formulas.prediction_gap lam k drive 1 1 distance - eps
  < line (state (step (drive + distance)) (fun _ => 0) 0 t) (truncated (step drive) (fun _ => 0) 0 k
    t).
Proof.
  intros Hlam Hd Hw He step. repeat split.
  - intros w h g x. rewrite !line_is. unfold step.
    replace (lam * h + w - (lam * g + w)) with (lam * (h - g)) by ring.
    rewrite Rabs_mult, (Rabs_right lam); lra.
  - intros w v h x. rewrite !line_is, Rmult_1_l. unfold step. f_equal. ring.
  - rewrite line_is, Rabs_right; lra.
  - rewrite line_is, Rabs_right; unfold step; lra.
  - assert (orbit : forall w from n, run (step w) (fun _ => 0) 0 from n
    = w * (1 - lam ^ n) / (1 - lam)).
    { intros w from n.
      rewrite (recursion_exact lam w (fun n => run (step w) (fun _ => 0) 0 from n));
        [|lra|reflexivity].
      simpl. field. lra. }
    destruct (pow_fades lam (eps * (1 - lam) / (drive + distance + 1)) Hlam) as [n Hn].
    { apply Rdiv_lt_0_compat; [apply Rmult_lt_0_compat|]; lra. }
    exists (n + k)%nat. rewrite truncated_long by lia. unfold state. rewrite !orbit, line_is.
    specialize (Hn (n + k)%nat ltac:(lia)). pose proof (pow_unit lam (n + k) Hlam).
    apply (Rmult_lt_compat_r (drive + distance + 1)) in Hn; [|lra].
    replace (eps * (1 - lam) / (drive + distance + 1) * (drive + distance + 1))
      with (eps * (1 - lam)) in Hn by (field; lra).
    eapply Rlt_le_trans; [|apply Rle_abs]. unfold formulas.prediction_gap.
    apply (Rmult_lt_reg_r (1 - lam)); [lra|].
    replace ((1 * (1 * distance + lam ^ k * drive) / (1 - lam) - eps) * (1 - lam))
      with (distance + lam ^ k * drive - eps * (1 - lam)) by (field; lra).
    replace (((drive + distance) * (1 - lam ^ (n + k)) / (1 - lam)
              - drive * (1 - lam ^ k) / (1 - lam)) * (1 - lam))
      with (distance + lam ^ k * drive - (drive + distance) * lam ^ (n + k)) by (field; lra).
    nra.
Qed.

(* where the drive of the recurrent twin is bounded too, as on a set of parameters, the last k steps
   are all that the difference of the parameters has: the bound above is not reached there *)
Theorem tighter {T X P Y} (d : metric T) (e : metric P) (p : metric Y) (o : T)
    (step : P -> T -> X -> T) (x : nat -> X) (f : T -> Y)
    (lam : R) (k t : nat) (drive weight_gain lipschitz distance : R) (w v : P) :
  0 <= lam < 1 -> contractive d (step w) lam -> 0 <= weight_gain ->
  (forall h s, d (step w h (x s)) (step v h (x s)) <= weight_gain * e w v) ->
  e w v <= distance -> (forall s, d (step w o (x s)) o <= drive) -> (k <= t)%nat ->
  0 <= lipschitz -> lipschitz_map d p f lipschitz ->
  p (f (state (step w) x o t)) (f (truncated (step v) x o k t))
  <= formulas.prediction_gap lam k drive weight_gain lipschitz (distance * (1 - lam ^ k)).
Proof.
  intros Hlam Hw Hg Hgain Hd Hdrive Hk Hl Hf. eapply Rle_trans; [apply Hf|].
  replace (formulas.prediction_gap lam k drive weight_gain lipschitz (distance * (1 - lam ^ k)))
    with (lipschitz * (drive * lam ^ k / (1 - lam)
      + weight_gain * distance * (1 - lam ^ k) / (1 - lam)))
    by (unfold formulas.prediction_gap; field; lra).
  apply Rmult_le_compat_l; [exact Hl|].
  eapply Rle_trans; [apply (distance_triangle d _ (truncated (step w) x o k t))|].
  apply Rplus_le_compat; [now apply (gap_always d (step w) lam)|].
  rewrite !truncated_long by exact Hk. pose proof (pow_unit lam k Hlam).
  apply Rle_trans with (weight_gain * e w v * (1 - lam ^ k) / (1 - lam)).
  - eapply Rle_trans; [apply (recursion lam (weight_gain * e w v)
      (fun n => d (run (step w) x o (t - k) n) (run (step v) x o (t - k) n))); [lra|lra|]|].
    + intros n. simpl.
      eapply Rle_trans; [apply (distance_triangle d _ (step w (run (step v) x o (t - k) n)
        (x (t - k + n)%nat)))|].
      apply Rplus_le_compat; [apply Hw | apply Hgain].
    + simpl. rewrite (distance_refl d). right. ring.
  - apply div_le; [lra|]. apply Rmult_le_compat_r; [lra|]. now apply Rmult_le_compat_l.
Qed.

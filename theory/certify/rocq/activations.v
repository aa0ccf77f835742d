(* ---- activations *)
Lemma identity_slope a b : Rabs (a - b) <= 1 / 1 * Rabs (a - b).
Proof. lra. Qed.

Definition relu (a : R) : R := Rmax 0 a.
Lemma relu_slope a b : Rabs (relu a - relu b) <= 1 / 1 * Rabs (a - b).
Proof. unfold relu, Rmax, Rabs. destruct (Rle_dec 0 a), (Rle_dec 0 b); repeat destruct Rcase_abs; lra. Qed.

Definition logistic (a : R) : R := / (1 + exp (- a)).
Lemma logistic_range a : 0 < logistic a < 1.
Proof.
  unfold logistic. pose proof (exp_pos (- a)). split.
  - apply Rinv_0_lt_compat. lra.
  - rewrite <- Rinv_1. apply Rinv_lt_contravar; lra.
Qed.
Lemma logistic_derivative a : derivable_pt_lim logistic a (logistic a * (1 - logistic a)).
Proof.
  pose proof (exp_pos (- a)) as He.
  assert (inner : derivable_pt_lim (fun a => 1 + exp (- a)) a (0 + exp (- a) * -1)).
  { apply (derivable_pt_lim_plus (fun _ => 1) (fun a => exp (- a))); [apply derivable_pt_lim_const|].
    apply (derivable_pt_lim_comp (fun a => - a) exp); [|apply derivable_pt_lim_exp].
    apply (derivable_pt_lim_opp (fun a => a)), derivable_pt_lim_id. }
  replace (logistic a * (1 - logistic a))
    with ((0 * (1 + exp (- a)) - (0 + exp (- a) * -1) * 1) / Rsqr (1 + exp (- a)))
    by (unfold logistic, Rsqr; field; lra).
  assert (same : forall x, (fun _ => 1) x / (fun a => 1 + exp (- a)) x = logistic x).
  { intros x. unfold logistic, Rdiv. ring. }
  pose proof (derivable_pt_lim_div (fun _ => 1) (fun a => 1 + exp (- a)) a 0 (0 + exp (- a) * -1)
    (derivable_pt_lim_const 1 a) inner ltac:(lra)) as Hd.
  intros eps Heps. destruct (Hd eps Heps) as [delta H]. exists delta. intros u Hu0 Hu.
  rewrite <- !same. now apply H.
Qed.
Lemma logistic_slope a b : Rabs (logistic a - logistic b) <= 1 / 4 * Rabs (a - b).
Proof.
  assert (ordered : forall a b, b < a -> Rabs (logistic a - logistic b) <= 1 / 4 * Rabs (a - b)).
  { clear a b. intros a b Hab.
    destruct (MVT_cor2 logistic (fun c => logistic c * (1 - logistic c)) b a Hab
      (fun c _ => logistic_derivative c)) as [c [-> _]].
    pose proof (logistic_range c). set (l := logistic c) in *.
    rewrite Rabs_mult. apply Rmult_le_compat_r; [apply Rabs_pos|].
    rewrite Rabs_right by nra. pose proof (pow2_ge_0 (l - / 2)). nra. }
  destruct (Rtotal_order a b) as [H|[H|H]].
  - rewrite (Rabs_minus_sym (logistic a)), (Rabs_minus_sym a). now apply ordered.
  - subst. rewrite !Rminus_diag_eq, Rabs_R0 by reflexivity. lra.
  - now apply ordered.
Qed.
Lemma tanh_logistic a : tanh a = 2 * logistic (2 * a) - 1.
Proof.
  unfold tanh, sinh, cosh, logistic. replace (- (2 * a)) with (- a + - a) by ring. rewrite exp_plus.
  pose proof (exp_pos a). pose proof (exp_pos (- a)).
  assert (one : exp a * exp (- a) = 1) by (rewrite <- exp_plus, Rplus_opp_r; apply exp_0).
  set (x := exp (- a)) in *. replace (exp a) with (/ x).
  - field. repeat split; nra.
  - apply (Rmult_eq_reg_r x); [|lra]. rewrite Rinv_l; lra.
Qed.
Lemma tanh_slope a b : Rabs (tanh a - tanh b) <= 1 / 1 * Rabs (a - b).
Proof.
  rewrite !tanh_logistic. pose proof (logistic_slope (2 * a) (2 * b)) as H.
  replace (2 * logistic (2 * a) - 1 - (2 * logistic (2 * b) - 1))
    with (2 * (logistic (2 * a) - logistic (2 * b))) by ring.
  replace (2 * a - 2 * b) with (2 * (a - b)) in H by ring.
  rewrite Rabs_mult in H |- *. rewrite (Rabs_right 2) in * by lra. lra.
Qed.

(* chords: alpha <= (rho a - rho b) / (a - b) <= beta *)
Definition chords (rho : R -> R) (alpha beta : R) : Prop := forall a b,
  (rho a - rho b - alpha * (a - b)) * (rho a - rho b - beta * (a - b)) <= 0.
Lemma chords_of rho beta : (forall a b, Rabs (rho a - rho b) <= beta * Rabs (a - b)) ->
  (forall a b, a <= b -> rho a <= rho b) -> chords rho 0 beta.
Proof.
  intros slope grows a b. rewrite Rmult_0_l, Rminus_0_r. specialize (slope a b).
  destruct (Rle_dec a b) as [H|H].
  - pose proof (grows a b H). rewrite !Rabs_left1 in slope by lra. nra.
  - pose proof (grows b a ltac:(lra)). rewrite !Rabs_right in slope by lra. nra.
Qed.
Lemma identity_chords : chords (fun a => a) (1 / 1) (1 / 1).
Proof. intros a b. nra. Qed.
Lemma relu_chords : chords relu (0 / 1) (1 / 1).
Proof.
  replace (0 / 1) with 0 by field. apply chords_of; [apply relu_slope|].
  intros a b H. unfold relu. apply Rle_max_compat_l. exact H.
Qed.
Lemma logistic_grows a b : a <= b -> logistic a <= logistic b.
Proof.
  intros H. unfold logistic. pose proof (exp_pos (- b)).
  apply Rinv_le_contravar; [lra|]. apply Rplus_le_compat_l.
  destruct (Rle_lt_or_eq_dec a b H) as [E|E]; [left; apply exp_increasing; lra | subst; lra].
Qed.
Lemma logistic_chords : chords logistic (0 / 4) (1 / 4).
Proof.
  replace (0 / 4) with 0 by field. apply chords_of; [apply logistic_slope | apply logistic_grows].
Qed.
Lemma tanh_chords : chords tanh (0 / 1) (1 / 1).
Proof.
  replace (0 / 1) with 0 by field. apply chords_of; [apply tanh_slope|].
  intros a b H. rewrite !tanh_logistic. pose proof (logistic_grows (2 * a) (2 * b)). lra.
Qed.
Lemma linear_chords : chords (fun a => a) (0 / 1) (1 / 1).
Proof. intros a b. replace (0 / 1) with 0 by field. pose proof (Rle_0_sqr (a - b)). nra. Qed.

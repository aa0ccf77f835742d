(* The logistic function and tanh: slopes and ranges. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
Open Scope R_scope.

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
  { apply (derivable_pt_lim_plus (fun _ => 1) (fun a => exp (- a)));
    [apply derivable_pt_lim_const|].
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

Lemma logistic_lipschitz a b : Rabs (logistic a - logistic b) <= / 4 * Rabs (a - b).
Proof.
  assert (ordered : forall a b, b < a -> Rabs (logistic a - logistic b) <= / 4 * Rabs (a - b)).
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

Lemma tanh_lipschitz a b : Rabs (tanh a - tanh b) <= Rabs (a - b).
Proof.
  rewrite !tanh_logistic. pose proof (logistic_lipschitz (2 * a) (2 * b)) as H.
  replace (2 * logistic (2 * a) - 1 - (2 * logistic (2 * b) - 1))
    with (2 * (logistic (2 * a) - logistic (2 * b))) by ring.
  replace (2 * a - 2 * b) with (2 * (a - b)) in H by ring.
  rewrite Rabs_mult in H |- *. rewrite (Rabs_right 2) in * by lra. lra.
Qed.

Lemma tanh_range a : Rabs (tanh a) <= 1.
Proof.
  rewrite tanh_logistic. pose proof (logistic_range (2 * a)). apply Rabs_le. lra.
Qed.

(* f c - g e, with f and e of known size *)
Lemma product_difference f g c e A B C D :
  Rabs f <= A -> Rabs (c - e) <= B -> Rabs (f - g) <= C -> Rabs e <= D ->
  Rabs (f * c - g * e) <= A * B + C * D.
Proof.
  intros Hf Hc Hg He. replace (f * c - g * e) with (f * (c - e) + (f - g) * e) by ring.
  eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_mult.
  apply Rplus_le_compat; apply Rmult_le_compat; assumption || apply Rabs_pos.
Qed.

(* Vanishing gradients: how the loss at time t depends on the input k steps before. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

(* the inputs x, with x s moved by u in the direction v *)
Definition moved {X : normed} (x : nat -> X) (s : nat) (v : X) (u : R) (i : nat) : X :=
  if Nat.eqb i s then plus (x s) (scale u v) else x i.

Lemma derivative_bounded f a C l : (forall u, Rabs (f (a + u) - f a) <= C * Rabs u) ->
  derivable_pt_lim f a l -> Rabs l <= C.
Proof.
  intros HC Hf. destruct (Rle_lt_dec (Rabs l) C) as [H|H]; [exact H|exfalso].
  destruct (Hf (Rabs l - C) ltac:(lra)) as [delta Hd]. pose proof (cond_pos delta) as Hpos.
  specialize (Hd (delta / 2)). rewrite Rabs_right in Hd by lra.
  specialize (Hd ltac:(lra) ltac:(lra)). specialize (HC (delta / 2)).
  rewrite (Rabs_right (delta / 2)) in HC by lra.
  assert (Rabs ((f (a + delta / 2) - f a) / (delta / 2)) <= C).
  { unfold Rdiv at 1. rewrite Rabs_mult, (Rabs_right (/ (delta / 2))).
    - apply (Rmult_le_reg_r (delta / 2)); [lra|]. rewrite Rmult_assoc, Rinv_l by lra. lra.
    - left. apply Rinv_0_lt_compat. lra. }
  pose proof (Rabs_triang_inv l ((f (a + delta / 2) - f a) / (delta / 2))) as Ht.
  rewrite Rabs_minus_sym in Ht. lra.
Qed.

(* the derivative in a direction v, if there is one, is at most the formula times |v|; this is what
   the dual norm of the gradient says *)
Theorem vanishing_gradient {T} {X : normed} (d : metric T) (step : T -> X -> T) (x : nat -> X)
    (p : T -> R) (lam gain loss_gain l : R) (k s : nat) (h : T) (v : X) :
  0 <= lam < 1 -> contractive d step lam ->
  0 <= gain -> (forall h x y, d (step h x) (step h y) <= gain * metric_of X x y) ->
  0 <= loss_gain -> lipschitz_map d line p loss_gain ->
  let t := (s + 1 + k)%nat in
  derivable_pt_lim (fun u => p (state step (moved x s v u) h t)) 0 l ->
  Rabs l <= formulas.vanishing_gradient lam k gain loss_gain * size v.
Proof.
  intros Hlam Hstep Hg Hgain Hl Hp t Hd.
  refine (derivative_bounded _ 0 _ l _ Hd). intros u. cbn beta. rewrite Rplus_0_l, <- line_is.
  assert (before : forall a n, (n <= s)%nat -> run step (moved x s v a) h 0 n = run step x h 0 n).
  { intros a n. induction n as [|n IH]; intros Hn; [reflexivity|]. simpl. rewrite IH by lia.
    unfold moved. now replace (Nat.eqb n s) with false by (symmetry; apply Nat.eqb_neq; lia). }
  assert (after : forall a n g, run step (moved x s v a) g (s + 1) n = run step x g (s + 1) n).
  { intros a n g. induction n as [|n IH]; [reflexivity|]. simpl. rewrite IH.
    unfold moved. now replace (Nat.eqb (s + 1 + n) s) with false by (symmetry; apply Nat.eqb_neq;
      lia). }
  assert (there : forall a, state step (moved x s v a) h t
    = run step x (step (run step x h 0 s) (plus (x s) (scale a v))) (s + 1) k).
  { intros a. unfold state, t. rewrite run_split, Nat.add_0_l, after. f_equal.
    rewrite Nat.add_1_r. cbn [run]. rewrite before by lia. unfold moved. now rewrite Nat.eqb_refl. }
  rewrite !there. eapply Rle_trans; [apply Hp|].
  unfold formulas.vanishing_gradient. rewrite !Rmult_assoc. apply Rmult_le_compat_l; [exact Hl|].
  eapply Rle_trans; [now apply (run_forgets d step lam)|].
  apply Rmult_le_compat_l; [now apply pow_unit|].
  eapply Rle_trans; [apply Hgain|]. apply Rmult_le_compat_l; [exact Hg|].
  cbn. rewrite minus_plus, minus_self, (plus_comm X), (plus_origin X), (scale_zero X), minus_origin.
  rewrite (size_scale X). lra.
Qed.

Theorem attained lam gain loss_gain k s (x : nat -> R) : 0 <= lam < 1 -> 0 <= gain -> 0
  <= loss_gain ->
  derivable_pt_lim (fun u => loss_gain * state (affine lam gain 0) (@moved reals x s 1 u) 0 (s + 1 +
    k)) 0
    (formulas.vanishing_gradient lam k gain loss_gain).
Proof.
  intros Hlam Hg Hl.
  assert (straight : forall n u, run (affine lam gain 0) (@moved reals x s 1 u) 0 0 (s + 1 + n)
    = run (affine lam gain 0) (@moved reals x s 1 0) 0 0 (s + 1 + n) + lam ^ n * gain * u).
  { assert (before : forall u n, (n <= s)%nat ->
    run (affine lam gain 0) (@moved reals x s 1 u) 0 0 n
      = run (affine lam gain 0) x 0 0 n).
    { intros u n. induction n as [|n IH]; intros Hn; [reflexivity|]. simpl. rewrite IH by lia.
      unfold moved. now replace (Nat.eqb n s) with false by (symmetry; apply Nat.eqb_neq; lia). }
    intros n u. induction n as [|n IH].
    - rewrite Nat.add_0_r, Nat.add_1_r. cbn [run]. rewrite !before by lia. unfold moved.
      rewrite Nat.eqb_refl. unfold affine; cbn. ring.
    - replace (s + 1 + S n)%nat with (S (s + 1 + n))
      by lia. cbn [run]. rewrite IH. unfold moved at 2 4.
      replace (Nat.eqb (0 + (s + 1 + n)) s) with false by (symmetry; apply Nat.eqb_neq; lia).
      unfold affine; simpl. ring. }
  intros eps He. exists (mkposreal 1 ltac:(lra)). intros u Hu _. unfold state.
  rewrite !(straight k (0 + u)), (straight k 0). unfold formulas.vanishing_gradient.
  replace ((loss_gain * _ - loss_gain * _) / u - _) with 0 by (field; exact Hu).
  now rewrite Rabs_R0.
Qed.

(* State gap in another norm than that of the contraction. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem norm_change {T X} (d d' : metric T) (o : T) (step : T -> X -> T) (x : nat -> X)
    (lam : R) (k t : nat) (past outer inner : R) (h : T) :
  0 <= lam < 1 -> contractive d step lam ->
  0 <= outer -> (forall h g, d' h g <= outer * d h g) ->
  0 <= inner -> (forall h g, d h g <= inner * d' h g) ->
  (k <= t)%nat -> d' (state step x h (t - k)) o <= past ->
  d' (state step x h t) (truncated step x o k t) <= formulas.norm_change lam k past outer inner.
Proof.
  intros Hlam Hstep Ho Houter Hi Hinner Hk Hpast. unfold formulas.norm_change.
  pose proof (pow_unit lam k Hlam).
  eapply Rle_trans; [apply Houter|]. rewrite !Rmult_assoc. apply Rmult_le_compat_l; [exact Ho|].
  eapply Rle_trans; [now apply (gap_observed d step lam)|].
  rewrite (Rmult_comm inner), Rmult_assoc. apply Rmult_le_compat_l; [lra|].
  eapply Rle_trans; [apply Hinner|]. rewrite Rmult_comm. now apply Rmult_le_compat_r.
Qed.

(* from the maximum norm to the sum norm, by h -> lam h_1 (1, 1) *)
Theorem attained lam k : 0 <= lam < 1 ->
  let step (h : R * R) (_ : unit) := (lam * fst h, lam * fst h) in
  let x (_ : nat) := tt in
  contractive plane_max step lam /\
  (forall h g, plane_sum h g <= 2 * plane_max h g) /\
  (forall h g, plane_max h g <= 1 * plane_sum h g) /\
  plane_sum (1, 0) (0, 0) = 1 /\
  plane_sum (state step x (1, 0) (S k)) (truncated step x (0, 0) (S k) (S k))
  = formulas.norm_change lam (S k) 1 2 1.
Proof.
  intros Hlam step x. repeat split.
  - intros h g u. unfold step, plane_max; cbn.
    rewrite <- Rmult_minus_distr_l, Rabs_mult, (Rabs_right lam) by lra.
    apply Rmax_lub; (apply Rmult_le_compat_l; [lra | apply Rmax_l]).
  - intros h g. cbn. pose proof (Rmax_l (Rabs (fst h - fst g)) (Rabs (snd h - snd g))).
    pose proof (Rmax_r (Rabs (fst h - fst g)) (Rabs (snd h - snd g))). lra.
  - intros h g. cbn. pose proof (Rabs_pos (fst h - fst g)). pose proof (Rabs_pos (snd h - snd g)).
    apply Rmax_lub; lra.
  - cbn. rewrite Rminus_0_r, Rabs_R1, Rminus_diag_eq, Rabs_R0 by reflexivity. ring.
  - assert (orbit : forall a n, run step x (a, 0) 0 (S n) = (lam ^ S n * a, lam ^ S n * a)).
    { intros a n. induction n as [|n IH]; [cbn; now rewrite Rmult_1_r|].
      change (run step x (a, 0) 0 (S (S n))) with (step (run step x (a, 0) 0 (S n)) tt).
      rewrite IH. unfold step; cbn. f_equal; ring. }
    rewrite truncated_long by reflexivity. rewrite Nat.sub_diag. unfold state. rewrite !orbit.
    pose proof (pow_unit lam (S k) Hlam) as H. unfold formulas.norm_change, plane_sum.
    cbn -[pow]. rewrite Rmult_0_r, Rmult_1_r, Rminus_0_r, Rabs_right by lra. ring.
Qed.

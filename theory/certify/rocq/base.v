(* A certificate of a recurrent map, to be checked by Rocq (formerly Coq) 8.16 or later:
     coqc FILE.v
   Up to the line of dashes the file is the same for every map of a kind: checks of integers, and the
   proof that a map which passes contracts and may be truncated.  The map itself follows. *)
From Coq Require Import Reals ZArith List Lra Lia Bool.
Import ListNotations.
Open Scope R_scope.

(* ---- sums and maxima *)
Definition vec := nat -> R.
Definition zero : vec := fun _ => 0.
Fixpoint sum (f : vec) (n : nat) : R := match n with O => 0 | S m => sum f m + f m end.
Fixpoint vmax (f : vec) (n : nat) : R := match n with O => 0 | S m => Rmax (vmax f m) (f m) end.

Lemma sum_le f g n : (forall i, (i < n)%nat -> f i <= g i) -> sum f n <= sum g n.
Proof.
  intros H. induction n as [|n IH]; simpl; [lra|].
  apply Rplus_le_compat; [apply IH; intros i Hi; apply H; lia | apply H; lia].
Qed.
Lemma sum_ext f g n : (forall i, (i < n)%nat -> f i = g i) -> sum f n = sum g n.
Proof. intros H. apply Rle_antisym; apply sum_le; intros i Hi; rewrite (H i Hi); lra. Qed.
Lemma sum_scale s f n : sum (fun i => s * f i) n = s * sum f n.
Proof. induction n as [|n IH]; simpl; [ring|]. rewrite IH. ring. Qed.
Lemma sum_plus f g n : sum (fun i => f i + g i) n = sum f n + sum g n.
Proof. induction n as [|n IH]; simpl; [ring|]. rewrite IH. ring. Qed.
Lemma sum_abs f n : Rabs (sum f n) <= sum (fun i => Rabs (f i)) n.
Proof.
  induction n as [|n IH]; simpl; [rewrite Rabs_R0; lra|].
  eapply Rle_trans; [apply Rabs_triang|]. lra.
Qed.
Lemma sum_exchange (f : nat -> nat -> R) n m :
  sum (fun i => sum (fun j => f i j) m) n = sum (fun j => sum (fun i => f i j) n) m.
Proof.
  induction n as [|n IH]; simpl.
  - induction m as [|m IHm]; simpl; [reflexivity|]. rewrite <- IHm. ring.
  - rewrite IH, <- sum_plus. now apply sum_ext.
Qed.
Lemma sum_first f n : sum f (S n) = f 0%nat + sum (fun i => f (S i)) n.
Proof. induction n as [|n IH]; [simpl; ring|]. cbn [sum] in *. rewrite IH. ring. Qed.
Lemma vmax_nonneg f n : 0 <= vmax f n.
Proof. induction n as [|n IH]; simpl; [lra|]. eapply Rle_trans; [exact IH | apply Rmax_l]. Qed.
Lemma vmax_ge f n i : (i < n)%nat -> f i <= vmax f n.
Proof.
  intros Hi. induction n as [|n IH]; [lia|]. simpl. destruct (Nat.eq_dec i n) as [->|E].
  - apply Rmax_r.
  - eapply Rle_trans; [apply IH; lia | apply Rmax_l].
Qed.
Lemma vmax_le f n m : 0 <= m -> (forall i, (i < n)%nat -> f i <= m) -> vmax f n <= m.
Proof.
  intros Hm H. induction n as [|n IH]; simpl; [exact Hm|].
  apply Rmax_lub; [apply IH; intros i Hi; apply H; lia | apply H; lia].
Qed.

(* ---- truncation, for any distance *)
Section Truncation.
  Variables (d : vec -> vec -> R) (step : vec -> vec -> vec) (x : nat -> vec).
  (* the states and inputs in question, which the map does not leave *)
  Variables (inside allowed : vec -> Prop).
  Hypothesis starts : inside zero.
  Hypothesis stays : forall h u, inside h -> allowed u -> inside (step h u).
  Hypothesis given : forall s, allowed (x s).
  Hypothesis d_same : forall a, d a a = 0.
  Hypothesis d_triangle : forall a b c, d a c <= d a b + d b c.
  Variables lam drive : R.
  Hypothesis Hlam : 0 <= lam < 1.
  Hypothesis contracts : forall h g u, inside h -> inside g -> allowed u ->
    d (step h u) (step g u) <= lam * d h g.
  Hypothesis Hdrive : 0 <= drive.
  Hypothesis driven : forall s, d (step zero (x s)) zero <= drive.

  (* the state after the inputs x from, ..., x (from + n - 1) *)
  Fixpoint run (h : vec) (from n : nat) : vec :=
    match n with O => h | S m => step (run h from m) (x (from + m)%nat) end.

  Lemma run_split h from m n : run h from (m + n) = run (run h from m) (from + m) n.
  Proof.
    induction n as [|n IH]; simpl.
    - now rewrite Nat.add_0_r.
    - rewrite Nat.add_succ_r; simpl; rewrite IH.
      now replace (from + (m + n))%nat with (from + m + n)%nat by lia.
  Qed.
  Lemma pow_unit k : 0 <= lam ^ k <= 1.
  Proof. induction k as [|k IH]; simpl; nra. Qed.
  Lemma kept h from n : inside h -> inside (run h from n).
  Proof. intros H. induction n as [|n IH]; simpl; [exact H | now apply stays]. Qed.
  Lemma forgets n h g from : inside h -> inside g ->
    d (run h from n) (run g from n) <= lam ^ n * d h g.
  Proof.
    intros Hh Hg. induction n as [|n IH]; simpl; [lra|].
    eapply Rle_trans; [apply contracts; try apply kept; auto|]. rewrite Rmult_assoc. apply Rmult_le_compat_l; lra.
  Qed.
  Lemma bounded n from : d (run zero from n) zero <= drive / (1 - lam).
  Proof.
    induction n as [|n IH]; simpl.
    - rewrite d_same. apply Rmult_le_pos; [exact Hdrive | left; apply Rinv_0_lt_compat; lra].
    - eapply Rle_trans; [apply (d_triangle _ (step zero (x (from + n)%nat)))|].
      eapply Rle_trans; [apply Rplus_le_compat; [apply contracts; try apply kept; auto | apply driven]|].
      apply (Rmult_le_compat_l lam) in IH; [|lra].
      replace (drive / (1 - lam)) with (lam * (drive / (1 - lam)) + drive) by (field; lra). lra.
  Qed.
  (* the k-step counterpart sees the last k inputs only *)
  Theorem truncation k t : (k <= t)%nat ->
    d (run zero 0 t) (run zero (t - k) k) <= drive * lam ^ k / (1 - lam).
  Proof.
    intros Hk. replace (run zero 0 t) with (run (run zero 0 (t - k)) (t - k) k).
    - eapply Rle_trans; [apply forgets; try apply kept; auto|]. pose proof (pow_unit k). pose proof (bounded (t - k) 0).
      apply (Rmult_le_compat_l (lam ^ k)) in H0; [|lra].
      replace (drive * lam ^ k / (1 - lam)) with (lam ^ k * (drive / (1 - lam))) by (field; lra).
      exact H0.
    - symmetry. replace t with (t - k + k)%nat at 1 by lia. now rewrite run_split.
  Qed.
End Truncation.

(* ---- distances in which a mean of two steps is no further apart than the mean of theirs *)
Definition mean (a : R) (h p : vec) : vec := fun i => (1 - a) * h i + a * p i.
Definition mixes (d : vec -> vec -> R) : Prop := forall a h g p q, 0 <= a <= 1 ->
  d (mean a h p) (mean a g q) <= (1 - a) * d h g + a * d p q.
Lemma mean_apart a h g p q i : 0 <= a <= 1 ->
  Rabs (mean a h p i - mean a g q i) <= (1 - a) * Rabs (h i - g i) + a * Rabs (p i - q i).
Proof.
  intros Ha. unfold mean. replace ((1 - a) * h i + a * p i - ((1 - a) * g i + a * q i))
    with ((1 - a) * (h i - g i) + a * (p i - q i)) by ring.
  eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_mult, !(Rabs_right (1 - a)) by lra.
  rewrite (Rabs_right a) by lra. lra.
Qed.

(* ---- a rate, on integers *)
Definition rate (num den : Z) : R := IZR num / IZR den.
Lemma rate_unit num den : (0 <= num < den)%Z -> 0 <= rate num den < 1.
Proof.
  intros [H0 H1]. assert (Hd : 0 < IZR den) by (apply IZR_lt; lia). unfold rate.
  apply IZR_le in H0. apply IZR_lt in H1. split.
  - apply Rmult_le_pos; [exact H0 | left; now apply Rinv_0_lt_compat].
  - apply (Rmult_lt_reg_r (IZR den)); [exact Hd|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l; lra.
Qed.

(* drive rate^k / (1 - rate) <= eps, on integers *)
Definition enough (num den dnum dden enum eden : Z) (k : nat) : bool :=
  (dnum * num ^ Z.of_nat k * den * eden <=? enum * dden * den ^ Z.of_nat k * (den - num))%Z
  && (0 <? dden)%Z && (0 <? eden)%Z && (num <? den)%Z && (0 <? den)%Z.
Lemma enough_is num den dnum dden enum eden k : enough num den dnum dden enum eden k = true ->
  IZR dnum / IZR dden * (IZR num / IZR den) ^ k / (1 - IZR num / IZR den) <= IZR enum / IZR eden.
Proof.
  unfold enough. intros H.
  apply andb_prop in H as [H H4]. apply andb_prop in H as [H H3].
  apply andb_prop in H as [H H2]. apply andb_prop in H as [H H1].
  apply Z.ltb_lt, IZR_lt in H1, H2, H3, H4. apply Z.leb_le, IZR_le in H.
  rewrite !mult_IZR, minus_IZR, <- !pow_IZR in H.
  assert (Hp : 0 < IZR den ^ k) by (apply pow_lt; exact H4).
  assert (Hpow : (IZR num / IZR den) ^ k = IZR num ^ k / IZR den ^ k).
  { unfold Rdiv. rewrite Rpow_mult_distr, pow_inv. reflexivity. }
  rewrite Hpow.
  apply (Rmult_le_reg_r (IZR dden * IZR den ^ k * (IZR den - IZR num) * IZR eden)).
  - repeat apply Rmult_lt_0_compat; lra.
  - replace (IZR dnum / IZR dden * (IZR num ^ k / IZR den ^ k) / (1 - IZR num / IZR den)
      * (IZR dden * IZR den ^ k * (IZR den - IZR num) * IZR eden))
      with (IZR dnum * IZR num ^ k * IZR den * IZR eden) by (field; lra).
    replace (IZR enum / IZR eden * (IZR dden * IZR den ^ k * (IZR den - IZR num) * IZR eden))
      with (IZR enum * IZR dden * IZR den ^ k * (IZR den - IZR num)) by (field; lra).
    exact H.
Qed.

(* Vectors with n entries, matrices, slopes of activations, the weighted maximum norm. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
Open Scope R_scope.

From Coq Require Import FunctionalExtensionality.

Definition vec := nat -> R.
Definition difference (h g : vec) : vec := fun i => h i - g i.

(* (W h)_i *)
Definition apply (n : nat) (W : nat -> nat ->
  R) (h : vec) : vec := fun i => sum (fun j => W i j * h j) n.

Lemma sum_le f g n : (forall i, (i < n)%nat -> f i <= g i) -> sum f n <= sum g n.
Proof.
  intros H. induction n as [|n IH]; simpl; [lra|].
  apply Rplus_le_compat; [apply IH; intros i Hi; apply H; lia | apply H; lia].
Qed.

Lemma sum_ext f g n : (forall i, (i < n)%nat -> f i = g i) -> sum f n = sum g n.
Proof.
  intros H. induction n as [|n IH]; simpl; [reflexivity|].
  rewrite IH, H; [reflexivity | lia | intros i Hi; apply H; lia].
Qed.

Lemma sum_scale s f n : sum (fun i => s * f i) n = s * sum f n.
Proof. induction n as [|n IH]; simpl; [ring|]. rewrite IH. ring. Qed.

Lemma sum_plus f g n : sum (fun i => f i + g i) n = sum f n + sum g n.
Proof. induction n as [|n IH]; simpl; [ring|]. rewrite IH. ring. Qed.

Lemma sum_abs f n : Rabs (sum f n) <= sum (fun i => Rabs (f i)) n.
Proof.
  induction n as [|n IH]; simpl; [rewrite Rabs_R0; lra|].
  eapply Rle_trans; [apply Rabs_triang|]. lra.
Qed.

Lemma apply_difference n W h g i : apply n W h i - apply n W g i = apply n W (difference h g) i.
Proof. unfold apply, difference. induction n as [|n IH]; simpl; [ring|]. rewrite <- IH. ring. Qed.

(* step(h, x) = rho(W h + U x + b), with u x = U x + b *)
Definition cell {X} (rho : nat -> R -> R) (n : nat) (W : nat -> nat -> R) (u : X -> vec)
    (h : vec) (x : X) : vec := fun i => rho i (apply n W h i + u x i).

(* |rho'| <= slope, as a Lipschitz constant *)
Definition slope_bounded (rho : nat -> R -> R) (slope : R) : Prop :=
  forall i a b, Rabs (rho i a - rho i b) <= slope * Rabs (a - b).

(* alpha_i <= rho_i' <= beta_i, as slopes of chords *)
Definition slopes_between (rho : nat -> R -> R) (alpha beta : vec) : Prop :=
  forall i a b, b < a -> alpha i * (a - b) <= rho i a - rho i b <= beta i * (a - b).

(* both follow from bounds of the derivative *)
Lemma slopes_of_derivative (rho rho' : nat -> R -> R) alpha beta :
  (forall i a, derivable_pt_lim (rho i) a (rho' i a)) ->
  (forall i a, alpha i <= rho' i a <= beta i) -> slopes_between rho alpha beta.
Proof.
  intros Hd Hb i a b Hab.
  destruct (MVT_cor2 (rho i) (rho' i) b a Hab (fun c _ => Hd i c)) as [c [-> _]].
  specialize (Hb i c). split; apply Rmult_le_compat_r; lra.
Qed.

(* the slope of a chord *)
Definition chord (rho : nat -> R -> R) (alpha : vec) (i : nat) (a b : R) : R :=
  if Req_EM_T a b then alpha i else (rho i a - rho i b) / (a - b).

Lemma chord_between rho alpha beta i a b : slopes_between rho alpha beta -> alpha i <= beta i ->
  alpha i <= chord rho alpha i a b <= beta i.
Proof.
  intros H Hle. unfold chord. destruct (Req_EM_T a b) as [E|E]; [lra|].
  destruct (Rlt_le_dec b a) as [Hab|Hab].
  - specialize (H i a b Hab). split; apply (Rmult_le_reg_r (a - b)); try lra;
      unfold Rdiv; rewrite Rmult_assoc, Rinv_l; lra.
  - assert (Hba : a < b) by lra. specialize (H i b a Hba).
    replace ((rho i a - rho i b) / (a - b)) with ((rho i b - rho i a) / (b - a)) by (field; lra).
    split; apply (Rmult_le_reg_r (b - a)); try lra; unfold Rdiv; rewrite Rmult_assoc, Rinv_l; lra.
Qed.

Lemma chord_is rho alpha i a b : rho i a - rho i b = chord rho alpha i a b * (a - b).
Proof.
  unfold chord. destruct (Req_EM_T a b) as [->|E]; [ring|]. field. lra.
Qed.

(* max over i < n *)
Fixpoint vmax (f : nat -> R) (n : nat) : R := match n with O => 0 |
  S m => Rmax (vmax f m) (f m) end.

Lemma vmax_nonneg f n : 0 <= vmax f n.
Proof.
  induction n as [|n IH]; simpl; [lra|]. eapply Rle_trans; [exact IH | apply Rmax_l].
Qed.

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

(* |h| = max_i |h_i| / v_i *)
Definition weighted (n : nat) (v h : vec) : R := vmax (fun i => Rabs (h i) / v i) n.

Lemma weighted_entry n v h i : (forall i, 0 < v i) -> (i < n)%nat -> Rabs (h i)
  <= weighted n v h * v i.
Proof.
  intros Hv Hi. specialize (Hv i). apply (Rmult_le_reg_r (/ v i)); [now apply Rinv_0_lt_compat|].
  rewrite Rmult_assoc, Rinv_r, Rmult_1_r by lra.
  apply (vmax_ge (fun i => Rabs (h i) / v i) n i Hi).
Qed.

(* a difference that is majorised by a matrix, entry i *)
Lemma majorised_entry n v (M : nat -> nat -> R) e y rate i : (forall i, 0 < v i) -> (i < n)%nat ->
  (forall j, 0 <= M i j) -> apply n M v i <= rate * v i ->
  Rabs y <= apply n M (fun j => Rabs (e j)) i -> Rabs y / v i <= rate * weighted n v e.
Proof.
  intros Hv Hi HM Hrow Hy. pose proof (Hv i) as Hvi.
  apply (Rmult_le_reg_r (v i)); [exact Hvi|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  eapply Rle_trans; [exact Hy|]. unfold apply in *.
  apply Rle_trans with (sum (fun j => weighted n v e * (M i j * v j)) n).
  - apply sum_le. intros j Hj. rewrite <- Rmult_assoc, (Rmult_comm (weighted n v e)), Rmult_assoc.
    apply Rmult_le_compat_l; [apply HM | now apply weighted_entry].
  - rewrite sum_scale. pose proof (vmax_nonneg (fun i => Rabs (e i) / v i) n) as Hw.
    fold (weighted n v e) in Hw.
    apply (Rmult_le_compat_l (weighted n v e)) in Hrow; [|exact Hw]. lra.
Qed.

Lemma vec_ext (a b : vec) : (forall i, a i = b i) -> a = b.
Proof. intros H. now apply functional_extensionality. Qed.

(* A certificate of a recurrent map, to be checked by Rocq (formerly Coq) 8.16 or later:
     coqc FILE.v
   Up to the line of dashes the file is the same for every map: a check of integers, and the proof
   that a map which passes contracts and may be truncated.  The map itself follows. *)
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
  Variables (X : Type) (d : vec -> vec -> R) (step : vec -> X -> vec) (x : nat -> X).
  Hypothesis d_same : forall a, d a a = 0.
  Hypothesis d_triangle : forall a b c, d a c <= d a b + d b c.
  Variables lam drive : R.
  Hypothesis Hlam : 0 <= lam < 1.
  Hypothesis contracts : forall h g y, d (step h y) (step g y) <= lam * d h g.
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
  Lemma forgets n h g from : d (run h from n) (run g from n) <= lam ^ n * d h g.
  Proof.
    induction n as [|n IH]; simpl; [lra|].
    eapply Rle_trans; [apply contracts|]. rewrite Rmult_assoc. apply Rmult_le_compat_l; lra.
  Qed.
  Lemma bounded n from : d (run zero from n) zero <= drive / (1 - lam).
  Proof.
    induction n as [|n IH]; simpl.
    - rewrite d_same. apply Rmult_le_pos; [exact Hdrive | left; apply Rinv_0_lt_compat; lra].
    - eapply Rle_trans; [apply (d_triangle _ (step zero (x (from + n)%nat)))|].
      eapply Rle_trans; [apply Rplus_le_compat; [apply contracts | apply driven]|].
      apply (Rmult_le_compat_l lam) in IH; [|lra].
      replace (drive / (1 - lam)) with (lam * (drive / (1 - lam)) + drive) by (field; lra). lra.
  Qed.
  (* the k-step counterpart sees the last k inputs only *)
  Theorem truncation k t : (k <= t)%nat ->
    d (run zero 0 t) (run zero (t - k) k) <= drive * lam ^ k / (1 - lam).
  Proof.
    intros Hk. replace (run zero 0 t) with (run (run zero 0 (t - k)) (t - k) k).
    - eapply Rle_trans; [apply forgets|]. pose proof (pow_unit k). pose proof (bounded (t - k) 0).
      apply (Rmult_le_compat_l (lam ^ k)) in H0; [|lra].
      replace (drive * lam ^ k / (1 - lam)) with (lam ^ k * (drive / (1 - lam))) by (field; lra).
      exact H0.
    - symmetry. replace t with (t - k + k)%nat at 1 by lia. now rewrite run_split.
  Qed.
End Truncation.

(* ---- the check, on integers *)
Fixpoint absolute (r V : list Z) : Z :=
  match r, V with a :: r', v :: V' => (Z.abs a * v + absolute r' V')%Z | _, _ => 0%Z end.

(* every line r: den sum |r_j| V_j <= num v, the lines and the weights of one length *)
Definition lines (W : list (list Z)) (V : list Z) (num den : Z) : bool :=
  forallb (fun rv => (den * absolute (fst rv) V <=? num * snd rv)%Z
                     && (length (fst rv) =? length V)%nat && (0 <? snd rv)%Z) (combine W V)
  && (length W =? length V)%nat && (0 <? den)%Z.

Lemma absolute_is r V : length r = length V ->
  IZR (absolute r V) = sum (fun j => Rabs (IZR (nth j r 0%Z)) * IZR (nth j V 0%Z)) (length V).
Proof.
  revert V. induction r as [|a r IH]; intros [|v V] H; simpl in H; try discriminate; [reflexivity|].
  cbn [length absolute]. rewrite sum_first, plus_IZR, mult_IZR, abs_IZR, IH by lia. reflexivity.
Qed.

Section Checked.
  Variables (W : list (list Z)) (V : list Z) (num den : Z).
  Hypothesis passed : lines W V num den = true.
  Let n := length V.
  Definition line (i j : nat) : R := IZR (nth j (nth i W []) 0%Z).
  Definition weight (i : nat) : R := IZR (nth i V 0%Z).

  Lemma den_positive : 0 < IZR den.
  Proof.
    unfold lines in passed. apply andb_prop in passed as [_ H]. apply Z.ltb_lt in H. now apply IZR_lt.
  Qed.
  Lemma line_passed i : (i < n)%nat ->
    0 < weight i /\ IZR den * sum (fun j => Rabs (line i j) * weight j) n <= IZR num * weight i.
  Proof.
    intros Hi. unfold lines in passed. apply andb_prop in passed as [H _].
    apply andb_prop in H as [H Hlen]. apply Nat.eqb_eq in Hlen.
    rewrite forallb_forall in H.
    assert (Hin : In (nth i W [], nth i V 0%Z) (combine W V)).
    { rewrite <- combine_nth by exact Hlen. apply nth_In. rewrite combine_length. unfold n in Hi. lia. }
    specialize (H _ Hin). cbn [fst snd] in H. apply andb_prop in H as [H Hpos].
    apply andb_prop in H as [Hle Hrow]. apply Nat.eqb_eq in Hrow. apply Z.leb_le, IZR_le in Hle.
    apply Z.ltb_lt, IZR_lt in Hpos. split; [exact Hpos|].
    rewrite !mult_IZR, absolute_is in Hle by exact Hrow. exact Hle.
  Qed.
End Checked.

(* ---- the map: h -> rho(W h + u), with W the integers divided by scale, by rows or by columns *)
Section Cell.
  Variables (M : list (list Z)) (V : list Z) (num den scale snum sden : Z) (rho : R -> R).
  Hypothesis passed : lines M V (num * scale * sden) (den * snum) = true.
  Hypothesis Hscale : (0 < scale)%Z.
  Hypothesis Hsnum : (0 < snum)%Z.
  Hypothesis Hsden : (0 < sden)%Z.
  Hypothesis Hnum : (0 <= num < den)%Z.
  Hypothesis Hrho : forall a b, Rabs (rho a - rho b) <= IZR snum / IZR sden * Rabs (a - b).
  Let n := length V.
  Definition rate : R := IZR num / IZR den.

  Lemma scale_positive : 0 < IZR scale /\ 0 < IZR snum /\ 0 < IZR sden /\ 0 < IZR den.
  Proof. repeat split; apply IZR_lt; lia. Qed.
  Lemma rate_unit : 0 <= rate < 1.
  Proof.
    pose proof scale_positive as (_ & _ & _ & Hd). unfold rate. destruct Hnum as [H0 H1].
    apply IZR_le in H0. apply IZR_lt in H1. split.
    - apply Rmult_le_pos; [exact H0 | left; now apply Rinv_0_lt_compat].
    - apply (Rmult_lt_reg_r (IZR den)); [exact Hd|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l; lra.
  Qed.
  Lemma line_bound i : (i < n)%nat -> 0 < weight V i /\
    IZR snum / IZR sden * sum (fun j => Rabs (line M i j / IZR scale) * weight V j) n
    <= rate * weight V i.
  Proof.
    intros Hi. destruct (line_passed M V _ _ passed i Hi) as [Hw H]. split; [exact Hw|].
    pose proof scale_positive as (Hs & Hn & Hd & Hden). rewrite !mult_IZR in H.
    rewrite (sum_ext _ (fun j => / IZR scale * (Rabs (line M i j) * weight V j))).
    - rewrite sum_scale. set (total := sum _ _) in *. unfold rate.
      apply (Rmult_le_reg_r (IZR den * IZR scale * IZR sden)); [repeat apply Rmult_lt_0_compat; assumption|].
      replace (IZR snum / IZR sden * (/ IZR scale * total) * (IZR den * IZR scale * IZR sden))
        with (IZR den * IZR snum * total) by (field; lra).
      replace (IZR num / IZR den * weight V i * (IZR den * IZR scale * IZR sden))
        with (IZR num * IZR scale * IZR sden * weight V i) by (field; lra).
      exact H.
    - intros j _. unfold Rdiv. rewrite Rabs_mult, (Rabs_right (/ IZR scale)); [ring|].
      left. now apply Rinv_0_lt_compat.
  Qed.

  Definition step (W : nat -> nat -> R) (h u : vec) : vec :=
    fun i => rho (sum (fun j => W i j * h j) n + u i).

  Lemma entry W h g u i : Rabs (step W h u i - step W g u i)
    <= IZR snum / IZR sden * sum (fun j => Rabs (W i j) * Rabs (h j - g j)) n.
  Proof.
    unfold step. pose proof scale_positive as (Hs & Hn & Hd & Hden).
    eapply Rle_trans; [apply Hrho|]. apply Rmult_le_compat_l.
    - apply Rmult_le_pos; [lra | left; now apply Rinv_0_lt_compat].
    - replace (sum (fun j => W i j * h j) n + u i - (sum (fun j => W i j * g j) n + u i))
        with (sum (fun j => W i j * (h j - g j)) n).
      + eapply Rle_trans; [apply sum_abs|]. right. apply sum_ext. intros j _. apply Rabs_mult.
      + rewrite (sum_ext _ (fun j => W i j * h j + -1 * (W i j * g j))) by (intros; ring).
        rewrite sum_plus, sum_scale. ring.
  Qed.

  (* rows: |h| = max_i |h_i| / v_i *)
  Definition by_rows (i j : nat) : R := line M i j / IZR scale.
  Definition largest (h g : vec) : R := vmax (fun i => Rabs (h i - g i) / weight V i) n.

  Theorem rows_contract h g u :
    largest (step by_rows h u) (step by_rows g u) <= rate * largest h g.
  Proof.
    pose proof rate_unit. pose proof scale_positive as (Hs & Hn & Hd & Hden).
    apply vmax_le; [apply Rmult_le_pos; [lra | apply vmax_nonneg]|].
    intros i Hi. destruct (line_bound i Hi) as [Hw Hb].
    apply (Rmult_le_reg_r (weight V i)); [exact Hw|].
    unfold Rdiv at 1. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
    eapply Rle_trans; [apply entry|].
    assert (Hm : 0 <= largest h g) by apply vmax_nonneg.
    apply (Rmult_le_compat_l (largest h g)) in Hb; [|exact Hm].
    eapply Rle_trans; [|replace (rate * largest h g * weight V i)
      with (largest h g * (rate * weight V i)) by ring; exact Hb].
    rewrite (Rmult_comm (largest h g)), Rmult_assoc. apply Rmult_le_compat_l.
    - apply Rmult_le_pos; [lra | left; now apply Rinv_0_lt_compat].
    - rewrite Rmult_comm, <- sum_scale. apply sum_le. intros j Hj. unfold by_rows.
      destruct (line_bound j Hj) as [Hwj _].
      replace (largest h g * (Rabs (line M i j / IZR scale) * weight V j))
        with (Rabs (line M i j / IZR scale) * (largest h g * weight V j)) by ring.
      apply Rmult_le_compat_l; [apply Rabs_pos|].
      pose proof (vmax_ge (fun i => Rabs (h i - g i) / weight V i) n j Hj) as Hj1. cbn beta in Hj1.
      apply (Rmult_le_compat_r (weight V j)) in Hj1; [|lra].
      unfold Rdiv in Hj1 at 1. rewrite Rmult_assoc, Rinv_l, Rmult_1_r in Hj1 by lra. exact Hj1.
  Qed.
  Lemma largest_same a : largest a a = 0.
  Proof.
    apply Rle_antisym; [|apply vmax_nonneg]. apply vmax_le; [lra|]. intros i _.
    rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. unfold Rdiv. lra.
  Qed.
  Lemma largest_triangle a b c : largest a c <= largest a b + largest b c.
  Proof.
    pose proof (vmax_nonneg (fun i => Rabs (a i - b i) / weight V i) n) as H1.
    pose proof (vmax_nonneg (fun i => Rabs (b i - c i) / weight V i) n) as H2.
    apply vmax_le; [unfold largest; lra|]. intros i Hi. destruct (line_bound i Hi) as [Hw _].
    eapply Rle_trans; [|apply Rplus_le_compat;
      [apply (vmax_ge (fun i => Rabs (a i - b i) / weight V i) n i Hi)
      |apply (vmax_ge (fun i => Rabs (b i - c i) / weight V i) n i Hi)]].
    unfold Rdiv. rewrite <- Rmult_plus_distr_r. apply Rmult_le_compat_r.
    - left. now apply Rinv_0_lt_compat.
    - replace (a i - c i) with ((a i - b i) + (b i - c i)) by ring. apply Rabs_triang.
  Qed.

  (* columns: |h| = sum_i v_i |h_i|; the lines are the columns *)
  Definition by_columns (i j : nat) : R := line M j i / IZR scale.
  Definition total (h g : vec) : R := sum (fun i => weight V i * Rabs (h i - g i)) n.

  Theorem columns_contract h g u :
    total (step by_columns h u) (step by_columns g u) <= rate * total h g.
  Proof.
    pose proof scale_positive as (Hs & Hn & Hd & Hden).
    unfold total. apply Rle_trans with (sum (fun i => sum (fun j =>
      weight V i * (IZR snum / IZR sden) * Rabs (by_columns i j) * Rabs (h j - g j)) n) n).
    - apply sum_le. intros i Hi. destruct (line_bound i Hi) as [Hw _].
      rewrite (sum_ext _ (fun j => weight V i * (IZR snum / IZR sden)
        * (Rabs (by_columns i j) * Rabs (h j - g j)))) by (intros; ring).
      rewrite sum_scale, Rmult_assoc. apply Rmult_le_compat_l; [lra | apply entry].
    - rewrite sum_exchange, <- sum_scale. apply sum_le. intros j Hj.
      destruct (line_bound j Hj) as [_ Hb].
      rewrite (sum_ext _ (fun i => IZR snum / IZR sden * Rabs (h j - g j)
        * (Rabs (line M j i / IZR scale) * weight V i))) by (intros; unfold by_columns; ring).
      rewrite sum_scale. pose proof (Rabs_pos (h j - g j)) as Ha.
      apply (Rmult_le_compat_l (Rabs (h j - g j))) in Hb; [|exact Ha]. lra.
  Qed.
  Lemma total_same a : total a a = 0.
  Proof.
    unfold total. rewrite (sum_ext _ (fun i => 0 * 0)); [rewrite sum_scale; ring|].
    intros i _. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. ring.
  Qed.
  Lemma total_triangle a b c : total a c <= total a b + total b c.
  Proof.
    unfold total. rewrite <- sum_plus. apply sum_le. intros i Hi. destruct (line_bound i Hi) as [Hw _].
    rewrite <- Rmult_plus_distr_l. apply Rmult_le_compat_l; [lra|].
    replace (a i - c i) with ((a i - b i) + (b i - c i)) by ring. apply Rabs_triang.
  Qed.
End Cell.

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

(* ------------------------------------------------------------------------------ *)

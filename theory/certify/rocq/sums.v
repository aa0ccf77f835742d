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

  Lemma scale_positive : 0 < IZR scale /\ 0 < IZR snum /\ 0 < IZR sden /\ 0 < IZR den.
  Proof. repeat split; apply IZR_lt; lia. Qed.
  Lemma line_bound i : (i < n)%nat -> 0 < weight V i /\
    IZR snum / IZR sden * sum (fun j => Rabs (line M i j / IZR scale) * weight V j) n
    <= rate num den * weight V i.
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
    largest (step by_rows h u) (step by_rows g u) <= rate num den * largest h g.
  Proof.
    pose proof (rate_unit num den Hnum). pose proof scale_positive as (Hs & Hn & Hd & Hden).
    apply vmax_le; [apply Rmult_le_pos; [lra | apply vmax_nonneg]|].
    intros i Hi. destruct (line_bound i Hi) as [Hw Hb].
    apply (Rmult_le_reg_r (weight V i)); [exact Hw|].
    unfold Rdiv at 1. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
    eapply Rle_trans; [apply entry|].
    assert (Hm : 0 <= largest h g) by apply vmax_nonneg.
    apply (Rmult_le_compat_l (largest h g)) in Hb; [|exact Hm].
    eapply Rle_trans; [|replace (rate num den * largest h g * weight V i)
      with (largest h g * (rate num den * weight V i)) by ring; exact Hb].
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

  Lemma largest_nonneg h g : 0 <= largest h g.
  Proof. apply vmax_nonneg. Qed.
  Lemma largest_mixes : mixes largest.
  Proof.
    intros a h g p q Ha.
    pose proof (vmax_nonneg (fun i => Rabs (h i - g i) / weight V i) n) as H1.
    pose proof (vmax_nonneg (fun i => Rabs (p i - q i) / weight V i) n) as H2.
    apply vmax_le; [unfold largest; nra|]. intros i Hi. destruct (line_bound i Hi) as [Hw _].
    pose proof (vmax_ge (fun i => Rabs (h i - g i) / weight V i) n i Hi) as H3. cbn beta in H3.
    pose proof (vmax_ge (fun i => Rabs (p i - q i) / weight V i) n i Hi) as H4. cbn beta in H4.
    apply Rle_trans with ((1 - a) * (Rabs (h i - g i) / weight V i)
      + a * (Rabs (p i - q i) / weight V i)).
    - unfold Rdiv. rewrite <- !Rmult_assoc, <- Rmult_plus_distr_r.
      apply Rmult_le_compat_r; [left; now apply Rinv_0_lt_compat | now apply mean_apart].
    - apply Rplus_le_compat; apply Rmult_le_compat_l; assumption || lra.
  Qed.

  (* columns: |h| = sum_i v_i |h_i|; the lines are the columns *)
  Definition by_columns (i j : nat) : R := line M j i / IZR scale.
  Definition total (h g : vec) : R := sum (fun i => weight V i * Rabs (h i - g i)) n.

  Theorem columns_contract h g u :
    total (step by_columns h u) (step by_columns g u) <= rate num den * total h g.
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
  Lemma total_nonneg h g : 0 <= total h g.
  Proof.
    unfold total. apply Rle_trans with (sum (fun i => 0 * 0) n); [rewrite sum_scale; lra|].
    apply sum_le. intros i Hi. destruct (line_bound i Hi) as [Hw _].
    pose proof (Rabs_pos (h i - g i)). nra.
  Qed.
  Lemma total_mixes : mixes total.
  Proof.
    intros a h g p q Ha. unfold total. rewrite <- !sum_scale, <- sum_plus. apply sum_le.
    intros i Hi. destruct (line_bound i Hi) as [Hw _].
    apply Rle_trans with (weight V i * ((1 - a) * Rabs (h i - g i) + a * Rabs (p i - q i))).
    - apply Rmult_le_compat_l; [lra | now apply mean_apart].
    - right. ring.
  Qed.
End Cell.

(* ---- the incremental matrix inequality, with slopes alpha / sden .. beta / sden *)
Definition block (n : nat) (P : list (list Z)) (q : list Z) (M : list (list Z))
    (scale alpha beta sden num den : Z) : nat -> nat -> Z :=
  let k1 := (num * num * scale * scale * sden * sden)%Z in
  let k2 := (2 * alpha * beta * den * den)%Z in
  let k3 := (- (den * den) * scale * sden * (alpha + beta))%Z in
  let k4 := (den * den * scale * scale * sden * sden)%Z in
  let rows := map (fun i => map (fun k => at2 M k i) (seq 0 n)) (seq 0 n) in
  let scaled := map (fun r => map (fun qm => fst qm * snd qm)%Z (combine q r)) rows in
  fun i j =>
    if (i <? n)%nat then
      if (j <? n)%nat then
        (k1 * lower P i j + if (k2 =? 0)%Z then 0 else k2 * dot (nth i rows []) (nth j scaled []))%Z
      else (k3 * nth (j - n) q 0 * at2 M (j - n) i)%Z
    else if (j <? n)%nat then (k3 * nth (i - n) q 0 * at2 M (i - n) j)%Z
    else (k4 * ((if (i =? j)%nat then 2 * nth (i - n) q 0 else 0) - lower P (i - n) (j - n)))%Z.

Lemma nth_product q r i : nth i (map (fun qm => fst qm * snd qm)%Z (combine q r)) 0%Z
  = (nth i q 0 * nth i r 0)%Z.
Proof.
  revert q r. induction i as [|i IH]; intros [|a q] [|b r]; cbn [nth combine map fst snd];
    try ring; try apply IH; now rewrite ?Z.mul_0_r.
Qed.
Lemma sum_halves f n : sum f (n + n) = sum f n + sum (fun i => f (n + i)%nat) n.
Proof.
  assert (all : forall m, sum f (n + m) = sum f n + sum (fun i => f (n + i)%nat) m).
  { induction m as [|m IH]; [rewrite Nat.add_0_r; simpl; ring|].
    rewrite Nat.add_succ_r. cbn [sum]. rewrite IH. ring. }
  apply all.
Qed.

Section Inequality.
  Variables (n : nat) (P : list (list Z)) (q : list Z) (M : list (list Z)).
  Variables (mu pscale scale alpha beta sden num den c e c' e' : Z) (rho : R -> R).
  Variables (D D' : list Z) (L L' : list (list Z)).
  Hypothesis definite : psd n (above P mu) D L c e = true.
  Hypothesis passed : psd (n + n) (block n P q M scale alpha beta sden num den) D' L' c' e' = true.
  Hypothesis Hq : forallb (fun a => 0 <=? a)%Z q = true.
  Hypothesis Hlen : length q = n.
  Hypothesis Hmu : (0 <? mu)%Z = true.
  Hypothesis Hpscale : (0 <? pscale)%Z = true.
  Hypothesis Hscale : (0 <? scale)%Z = true.
  Hypothesis Hsden : (0 <? sden)%Z = true.
  Hypothesis Hnum : (0 <= num < den)%Z.
  Hypothesis Hrho : chords rho (IZR alpha / IZR sden) (IZR beta / IZR sden).

  Definition matrix (i j : nat) : R := IZR (at2 M i j) / IZR scale.
  Definition affine (h u : vec) : vec := fun i => rho (sum (fun j => matrix i j * h j) n + u i).
  Definition measured : vec -> vec -> R := far n (gram P pscale).

  Lemma signs : 0 < IZR mu /\ 0 < IZR pscale /\ 0 < IZR scale /\ 0 < IZR sden /\ 0 < IZR den.
  Proof. rewrite Z.ltb_lt in *. repeat split; apply IZR_lt; lia. Qed.

  Lemma block_sym i j : block n P q M scale alpha beta sden num den i j
    = block n P q M scale alpha beta sden num den j i.
  Proof.
    unfold block. cbv zeta. destruct (Nat.ltb_spec i n) as [Hi|Hi], (Nat.ltb_spec j n) as [Hj|Hj].
    - rewrite (lower_sym P j i). f_equal. destruct (_ =? 0)%Z; [reflexivity|]. f_equal.
      apply eq_IZR. rewrite !(dot_is _ _ n) by (rewrite nth_map_seq, map_length, seq_length by assumption; lia).
      set (rows := map _ (seq 0 n)). apply sum_ext. intros k Hk.
      assert (scaled : forall i, nth k (nth i (map (fun r => map (fun qm => (fst qm * snd qm)%Z)
        (combine q r)) rows) []) 0%Z = (nth k q 0 * nth k (nth i rows []) 0)%Z).
      { intros m. rewrite <- nth_product. f_equal. destruct (Nat.lt_ge_cases m (length rows)).
        - rewrite (nth_indep _ [] (map (fun qm => (fst qm * snd qm)%Z) (combine q [])))
            by (now rewrite map_length).
          now rewrite (map_nth (fun r => map (fun qm => (fst qm * snd qm)%Z) (combine q r))).
        - rewrite !nth_overflow; rewrite ?map_length; try assumption.
          now rewrite combine_nil. }
      rewrite !scaled, !mult_IZR. ring.
    - reflexivity.
    - reflexivity.
    - rewrite (lower_sym P (j - n)), (Nat.eqb_sym j i). destruct (Nat.eqb_spec i j); [subst|];
        reflexivity.
  Qed.

  (* (W e)_k of the integers *)
  Let image (x : vec) (k : nat) : R := sum (fun i => IZR (at2 M k i) * x i) n.
  Let weight (k : nat) : R := IZR (nth k q 0%Z).

  Lemma block_form (x b : vec) :
    let z i := if (i <? n)%nat then x i else b (i - n)%nat in
    form (n + n) (fun i j => IZR (block n P q M scale alpha beta sden num den i j)) z z
    = IZR num * IZR num * IZR scale * IZR scale * IZR sden * IZR sden
        * form n (fun i j => IZR (lower P i j)) x x
      + 2 * IZR alpha * IZR beta * IZR den * IZR den
        * sum (fun k => weight k * (image x k * image x k)) n
      - 2 * IZR den * IZR den * IZR scale * IZR sden * (IZR alpha + IZR beta)
        * sum (fun k => weight k * (image x k * b k)) n
      + IZR den * IZR den * IZR scale * IZR scale * IZR sden * IZR sden
        * (2 * sum (fun k => weight k * (b k * b k)) n
           - form n (fun i j => IZR (lower P i j)) b b).
  Proof.
    intros z. unfold form at 1. rewrite sum_halves.
    assert (z1 : forall i, (i < n)%nat -> z i = x i).
    { intros i Hi. unfold z. now rewrite (proj2 (Nat.ltb_lt i n) Hi). }
    assert (z2 : forall i, z (n + i)%nat = b i).
    { intros i. unfold z. rewrite (proj2 (Nat.ltb_ge (n + i) n)) by lia. f_equal. lia. }
    set (B := block n P q M scale alpha beta sden num den).
    assert (b11 : forall i j, (i < n)%nat -> (j < n)%nat -> IZR (B i j)
      = IZR num * IZR num * IZR scale * IZR scale * IZR sden * IZR sden * IZR (lower P i j)
        + 2 * IZR alpha * IZR beta * IZR den * IZR den
          * sum (fun k => weight k * (IZR (at2 M k i) * IZR (at2 M k j))) n).
    { intros i j Hi Hj. unfold B, block. cbv zeta.
      rewrite (proj2 (Nat.ltb_lt i n) Hi), (proj2 (Nat.ltb_lt j n) Hj).
      rewrite plus_IZR, !mult_IZR. f_equal.
      destruct (Z.eqb_spec (2 * alpha * beta * den * den) 0) as [E|E].
      - apply (f_equal IZR) in E. rewrite !mult_IZR in E. rewrite E. ring.
      - rewrite !mult_IZR. f_equal.
        rewrite (dot_is _ _ n) by (rewrite nth_map_seq, map_length, seq_length by exact Hi; lia).
        apply sum_ext. intros k Hk. rewrite nth_map_seq, nth_map_seq by assumption.
        rewrite (nth_indep _ [] (map (fun qm => (fst qm * snd qm)%Z) (combine q [])))
          by (rewrite !map_length, seq_length; exact Hj).
        rewrite (map_nth (fun r => map (fun qm => (fst qm * snd qm)%Z) (combine q r))).
        rewrite nth_product, nth_map_seq, nth_map_seq, mult_IZR by assumption. unfold weight. ring. }
    assert (b12 : forall i j, (i < n)%nat -> IZR (B i (n + j)%nat)
      = - (IZR den * IZR den) * IZR scale * IZR sden * (IZR alpha + IZR beta)
        * weight j * IZR (at2 M j i)).
    { intros i j Hi. unfold B, block. cbv zeta.
      rewrite (proj2 (Nat.ltb_lt i n) Hi), (proj2 (Nat.ltb_ge (n + j) n)) by lia.
      replace (n + j - n)%nat with j by lia.
      rewrite !mult_IZR, opp_IZR, mult_IZR, plus_IZR. reflexivity. }
    assert (b21 : forall i j, (j < n)%nat -> IZR (B (n + i)%nat j)
      = - (IZR den * IZR den) * IZR scale * IZR sden * (IZR alpha + IZR beta)
        * weight i * IZR (at2 M i j)).
    { intros i j Hj. unfold B. rewrite block_sym. now apply b12. }
    assert (b22 : forall i j, IZR (B (n + i)%nat (n + j)%nat)
      = IZR den * IZR den * IZR scale * IZR scale * IZR sden * IZR sden
        * ((if (j =? i)%nat then 2 * weight i else 0) - IZR (lower P i j))).
    { intros i j. unfold B, block. cbv zeta.
      rewrite (proj2 (Nat.ltb_ge (n + i) n)), (proj2 (Nat.ltb_ge (n + j) n)) by lia.
      replace (n + i - n)%nat with i by lia. replace (n + j - n)%nat with j by lia.
      rewrite !mult_IZR, minus_IZR. f_equal. f_equal.
      destruct (Nat.eqb_spec (n + i) (n + j)), (Nat.eqb_spec j i); try lia; [|reflexivity].
      now rewrite mult_IZR. }
    rewrite (sum_ext _ (fun i =>
      (IZR num * IZR num * IZR scale * IZR scale * IZR sden * IZR sden
         * sum (fun j => IZR (lower P i j) * x i * x j) n
       + 2 * IZR alpha * IZR beta * IZR den * IZR den
         * sum (fun k => weight k * (IZR (at2 M k i) * x i * image x k)) n)
      + - (IZR den * IZR den) * IZR scale * IZR sden * (IZR alpha + IZR beta)
         * sum (fun k => weight k * (IZR (at2 M k i) * x i * b k)) n)).
    2: { intros i Hi. rewrite sum_halves, z1 by exact Hi. f_equal.
      - rewrite (sum_ext _ (fun j =>
          IZR num * IZR num * IZR scale * IZR scale * IZR sden * IZR sden
            * (IZR (lower P i j) * x i * x j)
          + 2 * IZR alpha * IZR beta * IZR den * IZR den
            * sum (fun k => weight k * (IZR (at2 M k i) * x i * (IZR (at2 M k j) * x j))) n)).
        + rewrite sum_plus, !sum_scale, sum_exchange. f_equal. f_equal. apply sum_ext. intros k _.
          unfold image. rewrite !sum_scale. ring.
        + intros j Hj. rewrite z1, b11 by assumption.
          rewrite (sum_ext (fun k => weight k * (IZR (at2 M k i) * x i * (IZR (at2 M k j) * x j)))
            (fun k => x i * x j * (weight k * (IZR (at2 M k i) * IZR (at2 M k j)))))
            by (intros; ring). rewrite sum_scale. ring.
      - rewrite <- sum_scale. apply sum_ext. intros k _. rewrite z2, b12 by exact Hi. ring. }
    rewrite (sum_ext (fun i => sum (fun j => IZR (B (n + i)%nat j) * z (n + i)%nat * z j) (n + n))
      (fun i =>
      - (IZR den * IZR den) * IZR scale * IZR sden * (IZR alpha + IZR beta)
         * (weight i * (image x i * b i))
      + IZR den * IZR den * IZR scale * IZR scale * IZR sden * IZR sden
         * (2 * (weight i * (b i * b i)) + -1 * sum (fun j => IZR (lower P i j) * b i * b j) n))).
    2: { intros i Hi. rewrite sum_halves, z2. f_equal.
      - unfold image. rewrite (sum_ext _ (fun j =>
          - (IZR den * IZR den) * IZR scale * IZR sden * (IZR alpha + IZR beta) * weight i * b i
          * (IZR (at2 M i j) * x j))).
        + rewrite sum_scale. ring.
        + intros j Hj. rewrite z1, b21 by exact Hj. ring.
      - rewrite <- (sum_one (2 * (weight i * (b i * b i))) i n Hi), <- !sum_scale, <- sum_plus.
        rewrite <- sum_scale. apply sum_ext. intros j _. rewrite z2, b22.
        destruct (Nat.eqb_spec j i) as [->|E]; ring. }
    assert (crossed : sum (fun i => sum (fun k => weight k * (IZR (at2 M k i) * x i * b k)) n) n
      = sum (fun k => weight k * (image x k * b k)) n).
    { rewrite sum_exchange. apply sum_ext. intros k _. unfold image.
      rewrite (sum_ext _ (fun i => weight k * b k * (IZR (at2 M k i) * x i))) by (intros; ring).
      rewrite sum_scale. ring. }
    assert (squared : sum (fun i => sum (fun k => weight k * (IZR (at2 M k i) * x i * image x k)) n) n
      = sum (fun k => weight k * (image x k * image x k)) n).
    { rewrite sum_exchange. apply sum_ext. intros k _.
      rewrite (sum_ext _ (fun i => weight k * image x k * (IZR (at2 M k i) * x i)))
        by (intros; ring). rewrite sum_scale. unfold image. ring. }
    rewrite !sum_plus, !sum_scale, !sum_plus, !sum_scale, crossed, squared.
    unfold form. ring.
  Qed.

  Lemma gram_form x : form n (gram P pscale) x x
    = / IZR pscale * form n (fun i j => IZR (lower P i j)) x x.
  Proof.
    unfold form. rewrite <- sum_scale. apply sum_ext. intros i _. rewrite <- sum_scale.
    apply sum_ext. intros j _. unfold gram. pose proof signs. field. lra.
  Qed.

  Theorem inequality_contracts h g u :
    measured (affine h u) (affine g u) <= rate num den * measured h g.
  Proof.
    pose proof signs as (Hm & Hp & Hs & Hd & Hden). pose proof (rate_unit num den Hnum) as Hrate.
    set (x := away h g). set (b := away (affine h u) (affine g u)).
    set (z := fun i => if (i <? n)%nat then x i else b (i - n)%nat).
    pose proof (psd_is _ _ _ _ _ _ passed (fun i j _ _ => block_sym i j) z) as H. unfold z in H.
    rewrite block_form in H.
    (* every unit's chord *)
    assert (slack : sum (fun k => weight k * ((b k - IZR alpha / IZR sden * (image x k / IZR scale))
      * (b k - IZR beta / IZR sden * (image x k / IZR scale)))) n <= 0).
    { rewrite <- (sum_zero n). apply sum_le. intros k Hk.
      assert (Hw : 0 <= weight k).
      { unfold weight. apply IZR_le. rewrite forallb_forall in Hq.
        apply Z.leb_le, Hq, nth_In. lia. }
      assert (Hi : image x k / IZR scale
        = sum (fun j => matrix k j * h j) n + u k - (sum (fun j => matrix k j * g j) n + u k)).
      { unfold image, x, away, matrix.
        rewrite (sum_ext (fun i => IZR (at2 M k i) * (h i - g i)) (fun i =>
          IZR scale * (IZR (at2 M k i) / IZR scale * h i)
          + - IZR scale * (IZR (at2 M k i) / IZR scale * g i))) by (intros; field; lra).
        rewrite sum_plus, !sum_scale. field. lra. }
      rewrite Hi. unfold b, away, affine.
      pose proof (Hrho (sum (fun j => matrix k j * h j) n + u k)
        (sum (fun j => matrix k j * g j) n + u k)). nra. }
    set (F x := form n (fun i j => IZR (lower P i j)) x x).
    fold (F x) (F b) in H.
    set (S2 := sum (fun k => weight k * (image x k * image x k)) n) in *.
    set (S1 := sum (fun k => weight k * (image x k * b k)) n) in *.
    set (S0 := sum (fun k => weight k * (b k * b k)) n) in *.
    assert (expanded : S0 - (IZR alpha + IZR beta) / (IZR sden * IZR scale) * S1
      + IZR alpha * IZR beta / (IZR sden * IZR sden * IZR scale * IZR scale) * S2 <= 0).
    { eapply Rle_trans; [|exact slack]. right. unfold S0, S1, S2.
      rewrite (sum_ext (fun k => weight k * ((b k - IZR alpha / IZR sden * (image x k / IZR scale))
        * (b k - IZR beta / IZR sden * (image x k / IZR scale)))) (fun k =>
        (weight k * (b k * b k) + - ((IZR alpha + IZR beta) / (IZR sden * IZR scale))
          * (weight k * (image x k * b k)))
        + IZR alpha * IZR beta / (IZR sden * IZR sden * IZR scale * IZR scale)
          * (weight k * (image x k * image x k)))) by (intros; field; lra).
      rewrite !sum_plus, !sum_scale. ring. }
    assert (below : F b <= rate num den * rate num den * F x).
    { unfold rate. apply (Rmult_le_reg_l (IZR den * IZR den * IZR scale * IZR scale * IZR sden
        * IZR sden)); [repeat apply Rmult_lt_0_compat; assumption|].
      apply (Rmult_le_compat_l (2 * (IZR den * IZR den * IZR scale * IZR scale * IZR sden
        * IZR sden))) in expanded; [|apply Rmult_le_pos; [lra|];
        repeat apply Rmult_le_pos; lra].
      replace (2 * (IZR den * IZR den * IZR scale * IZR scale * IZR sden * IZR sden)
        * (S0 - (IZR alpha + IZR beta) / (IZR sden * IZR scale) * S1
           + IZR alpha * IZR beta / (IZR sden * IZR sden * IZR scale * IZR scale) * S2))
        with (2 * IZR den * IZR den * IZR scale * IZR scale * IZR sden * IZR sden * S0
          - 2 * IZR den * IZR den * IZR scale * IZR sden * (IZR alpha + IZR beta) * S1
          + 2 * IZR alpha * IZR beta * IZR den * IZR den * S2) in expanded by (field; lra).
      replace (IZR den * IZR den * IZR scale * IZR scale * IZR sden * IZR sden
        * (IZR num / IZR den * (IZR num / IZR den) * F x))
        with (IZR num * IZR num * IZR scale * IZR scale * IZR sden * IZR sden * F x)
        by (field; lra). lra. }
    unfold measured, far. fold x b. rewrite !gram_form. fold (F x) (F b).
    assert (0 < / IZR pscale) by (now apply Rinv_0_lt_compat).
    apply (Rmult_le_compat_l (/ IZR pscale)) in below; [|lra].
    replace (rate num den * sqrt (/ IZR pscale * F x))
      with (sqrt (rate num den * rate num den * (/ IZR pscale * F x))).
    - apply sqrt_le_1_alt. lra.
    - rewrite sqrt_mult_alt by (apply Rle_0_sqr || nra). rewrite sqrt_square by lra. reflexivity.
  Qed.

  Lemma measured_same a : measured a a = 0.
  Proof. apply far_same. Qed.
  Lemma measured_triangle a b d : measured a d <= measured a b + measured b d.
  Proof.
    apply far_triangle.
    - intros i j. unfold gram. now rewrite lower_sym.
    - exact (above_pos _ _ mu pscale D L c e definite (proj1 (Z.ltb_lt _ _) Hpscale)
        (Z.lt_le_incl _ _ (proj1 (Z.ltb_lt _ _) Hmu))).
  Qed.
  Lemma measured_mixes : mixes measured.
  Proof.
    intros a h g p r Ha. pose proof (measured_triangle (mean a h p) (mean a g p) (mean a g r)) as H.
    assert (scaled : forall s x y v w, 0 <= s -> (forall i, v i - w i = s * (x i - y i)) ->
      measured v w = s * measured x y).
    { intros s x y v w Hs E. unfold measured, far.
      replace (form n (gram P pscale) (away v w) (away v w))
        with (s * s * form n (gram P pscale) (away x y) (away x y)).
      - rewrite sqrt_mult_alt by nra. rewrite sqrt_square by exact Hs. reflexivity.
      - unfold form. rewrite <- sum_scale. apply sum_ext. intros i _. rewrite <- sum_scale.
        apply sum_ext. intros j _. unfold away. rewrite !E. ring. }
    rewrite (scaled (1 - a) h g (mean a h p) (mean a g p)) in H
      by (lra || (intros; unfold mean; ring)).
    rewrite (scaled a p r (mean a g p) (mean a g r)) in H by (lra || (intros; unfold mean; ring)).
    exact H.
  Qed.
  Lemma measured_nonneg h g : 0 <= measured h g.
  Proof. apply sqrt_pos. Qed.
  (* the entries in this distance *)
  Lemma entries_within h g : IZR mu / IZR pscale
    * sum (fun i => (h i - g i) * (h i - g i)) n <= measured h g * measured h g.
  Proof.
    unfold measured, far. rewrite sqrt_sqrt.
    - exact (above_is _ _ mu pscale D L c e definite (proj1 (Z.ltb_lt _ _) Hpscale) (away h g)).
    - exact (above_pos _ _ mu pscale D L c e definite (proj1 (Z.ltb_lt _ _) Hpscale)
        (Z.lt_le_incl _ _ (proj1 (Z.ltb_lt _ _) Hmu)) (away h g)).
  Qed.
End Inequality.

(* ---- what a difference becomes in a step: terms with bounded coefficients *)
Fixpoint sumZ (f : nat -> Z) (n : nat) : Z :=
  match n with O => 0%Z | S m => (sumZ f m + f m)%Z end.
Lemma sumZ_is f n : IZR (sumZ f n) = sum (fun k => IZR (f k)) n.
Proof. induction n as [|n IH]; [reflexivity|]. cbn [sumZ sum]. now rewrite plus_IZR, IH. Qed.
Lemma sum_blocks f P n : sum f (P * n) = sum (fun p => sum (fun j => f (p * n + j)%nat) n) P.
Proof.
  assert (all : forall a m, sum f (a + m) = sum f a + sum (fun i => f (a + i)%nat) m).
  { induction m as [|m IH]; [rewrite Nat.add_0_r; simpl; ring|].
    rewrite Nat.add_succ_r. cbn [sum]. rewrite IH. ring. }
  induction P as [|P IH]; [reflexivity|]. cbn [sum]. rewrite <- IH, <- all. f_equal. lia.
Qed.
Lemma block_index P n i : (i < P * n)%nat -> exists p j, (p < P)%nat /\ (j < n)%nat /\
  i = (p * n + j)%nat.
Proof.
  intros Hi. assert (Hn : n <> 0%nat) by (intros ->; lia).
  exists (i / n)%nat, (i mod n)%nat. pose proof (Nat.div_mod i n Hn).
  pose proof (Nat.mod_upper_bound i n Hn). repeat split; [|assumption|lia].
  apply Nat.div_lt_upper_bound; lia.
Qed.
Lemma forallb_seq f n : forallb f (seq 0 n) = true -> forall i, (i < n)%nat -> f i = true.
Proof. intros H i Hi. rewrite forallb_forall in H. apply H, in_seq. lia. Qed.

Section Terms.
  (* P parts of n entries; the signal k of the unit j is a row, of the part source k *)
  Variables (n P K sheets : nat) (source : nat -> nat) (rows : nat -> nat -> list Z).
  Variables (C : nat -> nat -> nat -> Z) (scale unit num den : Z) (w : list Z).
  Variables (step : vec -> vec -> vec) (inside allowed : vec -> Prop).

  Definition signal (k j : nat) (x : vec) : R :=
    sum (fun i => IZR (nth i (rows k j) 0%Z) * x (source k * n + i)%nat) n / IZR scale.
  Definition majorised : Prop := forall h g u p j, inside h -> inside g -> allowed u ->
    (p < P)%nat -> (j < n)%nat -> exists s, (s < sheets)%nat /\
    Rabs (step h u (p * n + j)%nat - step g u (p * n + j)%nat)
    <= sum (fun k => IZR (C s (p * n + j) k) / IZR unit * Rabs (signal k j (away h g))) K.

  Definition shapes : bool := forallb (fun k => (source k <? P)%nat
    && forallb (fun j => (length (rows k j) <=? n)%nat) (seq 0 n)) (seq 0 K).

  Hypothesis Hmajor : majorised.
  Hypothesis Hshapes : shapes = true.
  Hypothesis Hscale : (0 <? scale)%Z = true.
  Hypothesis Hunit : (0 <? unit)%Z = true.
  Hypothesis Hnum : (0 <= num < den)%Z.

  Lemma shape k : (k < K)%nat -> (source k < P)%nat /\
    forall j, (j < n)%nat -> (length (rows k j) <= n)%nat.
  Proof.
    intros Hk. pose proof (forallb_seq _ _ Hshapes k Hk) as H. cbv beta in H.
    apply andb_prop in H as [H1 H2]. split; [now apply Nat.ltb_lt|].
    intros j Hj. apply Nat.leb_le. exact (forallb_seq _ _ H2 j Hj).
  Qed.
  Lemma positive_scales : 0 < IZR scale /\ 0 < IZR unit /\ 0 < IZR den.
  Proof. rewrite Z.ltb_lt in *. repeat split; apply IZR_lt; lia. Qed.
  Lemma within k i : (k < K)%nat -> (i < n)%nat -> (source k * n + i < P * n)%nat.
  Proof. intros Hk Hi. destruct (shape k Hk) as [Hs _]. nia. Qed.
  Let weight (i : nat) : R := IZR (nth i w 0%Z).

  (* |h| = max_i |h_i| / w_i *)
  Definition peaks : bool :=
    let Y := map (fun k =>
      let v := map (fun i => nth (source k * n + i) w 0%Z) (seq 0 n) in
      map (fun j => dot (map Z.abs (rows k j)) v) (seq 0 n)) (seq 0 K) in
    let top := (num * unit * scale)%Z in
    forallb (fun p => forallb (fun j => let i := (p * n + j)%nat in
      (0 <? nth i w 0)%Z && forallb (fun s =>
        forallb (fun k => 0 <=? C s i k)%Z (seq 0 K)
        && (den * sumZ (fun k => C s i k * at2 Y k j) K <=? top * nth i w 0)%Z) (seq 0 sheets))
      (seq 0 n)) (seq 0 P).
  Definition peak (h g : vec) : R := vmax (fun i => Rabs (h i - g i) / IZR (nth i w 0%Z)) (P * n).

  Lemma peak_same a : peak a a = 0.
  Proof.
    apply Rle_antisym; [|apply vmax_nonneg]. apply vmax_le; [lra|]. intros i _.
    rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. unfold Rdiv. lra.
  Qed.
  Lemma peaks_row : peaks = true -> forall p j, (p < P)%nat -> (j < n)%nat ->
    0 < weight (p * n + j) /\ forall s, (s < sheets)%nat ->
    (forall k, (k < K)%nat -> 0 <= IZR (C s (p * n + j) k)) /\
    sum (fun k => IZR (C s (p * n + j) k) / IZR unit *
      (sum (fun i => Rabs (IZR (nth i (rows k j) 0%Z)) * weight (source k * n + i)) n / IZR scale)) K
    <= rate num den * weight (p * n + j).
  Proof.
    intros H p j Hp Hj. unfold peaks in H. cbv zeta in H.
    pose proof (forallb_seq _ _ (forallb_seq _ _ H p Hp) j Hj) as row. cbv beta in row.
    apply andb_prop in row as [Hw row]. apply Z.ltb_lt, IZR_lt in Hw. split; [exact Hw|].
    intros s Hs. pose proof (forallb_seq _ _ row s Hs) as one. cbv beta in one.
    apply andb_prop in one as [positive le]. split.
    - intros k Hk. apply IZR_le, Z.leb_le. exact (forallb_seq _ _ positive k Hk).
    - apply Z.leb_le, IZR_le in le. rewrite !mult_IZR, sumZ_is in le.
      pose proof positive_scales as (Hsc & Hu & Hd).
      rewrite (sum_ext _ (fun k => / (IZR unit * IZR scale) * IZR (C s (p * n + j) k *
        at2 (map (fun k => map (fun j => dot (map Z.abs (rows k j))
          (map (fun i => nth (source k * n + i) w 0%Z) (seq 0 n))) (seq 0 n)) (seq 0 K)) k j))).
      + rewrite sum_scale. unfold rate. set (total := sum _ K) in *.
        apply (Rmult_le_reg_l (IZR den * (IZR unit * IZR scale)));
          [repeat apply Rmult_lt_0_compat; assumption|].
        replace (IZR den * (IZR unit * IZR scale) * (/ (IZR unit * IZR scale) * total))
          with (IZR den * total) by (field; lra).
        replace (IZR den * (IZR unit * IZR scale) * (IZR num / IZR den * weight (p * n + j)))
          with (IZR num * IZR unit * IZR scale * weight (p * n + j)) by (field; lra).
        exact le.
      + intros k Hk. rewrite mult_IZR. unfold at2. rewrite nth_map_seq, nth_map_seq by assumption.
        rewrite (dot_is _ _ n) by (rewrite map_length; now apply (proj2 (shape k Hk))).
        rewrite (sum_ext (fun i => Rabs (IZR (nth i (rows k j) 0%Z)) * weight (source k * n + i))
          (fun i => IZR (nth i (map Z.abs (rows k j)) 0%Z)
            * IZR (nth i (map (fun i => nth (source k * n + i) w 0%Z) (seq 0 n)) 0%Z))).
        * field. lra.
        * intros i Hi. rewrite nth_map_seq by exact Hi.
          change 0%Z with (Z.abs 0) at 2. rewrite map_nth, abs_IZR. reflexivity.
  Qed.
  Lemma peak_triangle : peaks = true -> forall a b c, peak a c <= peak a b + peak b c.
  Proof.
    intros H a b c.
    pose proof (vmax_nonneg (fun i => Rabs (a i - b i) / weight i) (P * n)) as H1.
    pose proof (vmax_nonneg (fun i => Rabs (b i - c i) / weight i) (P * n)) as H2.
    apply vmax_le; [unfold weight in *; unfold peak; lra|]. intros i Hi.
    destruct (block_index P n i Hi) as (p & j & Hp & Hj & E).
    destruct (peaks_row H p j Hp Hj) as [Hw _]. rewrite <- E in Hw.
    eapply Rle_trans; [|apply Rplus_le_compat;
      [apply (vmax_ge (fun i => Rabs (a i - b i) / weight i) (P * n) i Hi)
      |apply (vmax_ge (fun i => Rabs (b i - c i) / weight i) (P * n) i Hi)]].
    unfold Rdiv. rewrite <- Rmult_plus_distr_r. apply Rmult_le_compat_r.
    - left. now apply Rinv_0_lt_compat.
    - replace (a i - c i) with ((a i - b i) + (b i - c i)) by ring. apply Rabs_triang.
  Qed.

  Theorem peaks_contract : peaks = true -> forall h g u, inside h -> inside g -> allowed u ->
    peak (step h u) (step g u) <= rate num den * peak h g.
  Proof.
    intros H h g u Hh Hg Hu. pose proof positive_scales as (Hsc & Hun & Hden).
    pose proof (rate_unit num den Hnum) as Hrate.
    assert (Hm : 0 <= peak h g) by apply vmax_nonneg.
    apply vmax_le; [apply Rmult_le_pos; lra|]. intros i Hi.
    destruct (block_index P n i Hi) as (p & j & Hp & Hj & ->).
    destruct (peaks_row H p j Hp Hj) as [Hw row].
    destruct (Hmajor h g u p j Hh Hg Hu Hp Hj) as (s & Hs & Hle).
    destruct (row s Hs) as [Hc Hrow].
    apply (Rmult_le_reg_r (weight (p * n + j))); [exact Hw|].
    change (IZR (nth (p * n + j) w 0%Z)) with (weight (p * n + j)).
    unfold Rdiv at 1. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
    eapply Rle_trans; [exact Hle|].
    apply (Rmult_le_compat_l (peak h g)) in Hrow; [|exact Hm].
    rewrite <- sum_scale in Hrow.
    eapply Rle_trans; [|replace (rate num den * peak h g * weight (p * n + j))
      with (peak h g * (rate num den * weight (p * n + j))) by ring; exact Hrow].
    apply sum_le. intros k Hk.
    replace (peak h g * (IZR (C s (p * n + j) k) / IZR unit *
      (sum (fun i => Rabs (IZR (nth i (rows k j) 0%Z)) * weight (source k * n + i)) n / IZR scale)))
      with (IZR (C s (p * n + j) k) / IZR unit * (peak h g *
      sum (fun i => Rabs (IZR (nth i (rows k j) 0%Z)) * weight (source k * n + i)) n / IZR scale))
      by (field; lra).
    apply Rmult_le_compat_l.
    - apply Rmult_le_pos; [now apply Hc | left; now apply Rinv_0_lt_compat].
    - unfold signal. unfold Rdiv at 1. rewrite Rabs_mult, (Rabs_right (/ IZR scale))
        by (left; now apply Rinv_0_lt_compat).
      apply Rmult_le_compat_r; [left; now apply Rinv_0_lt_compat|].
      eapply Rle_trans; [apply sum_abs|]. rewrite <- sum_scale. apply sum_le. intros i' Hi'.
      rewrite Rabs_mult. pose proof (within k i' Hk Hi') as Hin.
      destruct (block_index P n _ Hin) as (p' & j' & Hp' & Hj' & E).
      destruct (peaks_row H p' j' Hp' Hj') as [Hw' _]. rewrite <- E in Hw'.
      replace (peak h g * (Rabs (IZR (nth i' (rows k j) 0%Z)) * weight (source k * n + i')))
        with (Rabs (IZR (nth i' (rows k j) 0%Z)) * (peak h g * weight (source k * n + i'))) by ring.
      apply Rmult_le_compat_l; [apply Rabs_pos|]. unfold away.
      pose proof (vmax_ge (fun i => Rabs (h i - g i) / weight i) (P * n) _ Hin) as Hp1.
      cbv beta in Hp1. apply (Rmult_le_compat_r (weight (source k * n + i'))) in Hp1; [|lra].
      unfold Rdiv in Hp1. rewrite Rmult_assoc, Rinv_l, Rmult_1_r in Hp1 by lra. exact Hp1.
  Qed.

  (* |h|^2 = sum_i w_i h_i^2: multipliers t / tscale, and shares / whole of the coefficients *)
  Variables (t : list (list Z)) (share : nat -> nat -> nat -> Z) (tscale whole : Z).
  Definition loads : bool := (0 <? tscale)%Z && (0 <? whole)%Z &&
    forallb (fun p => forallb (fun j => let i := (p * n + j)%nat in
      (0 <? nth i w 0)%Z && forallb (fun k => 0 <=? at2 t i k)%Z (seq 0 K) && forallb (fun s =>
        (sumZ (share s i) K <=? whole)%Z && forallb (fun k => (0 <=? C s i k)%Z &&
          (0 <=? share s i k)%Z &&
          (C s i k * C s i k * (whole * tscale) <=? share s i k * at2 t i k * (unit * unit))%Z)
        (seq 0 K)) (seq 0 sheets)) (seq 0 n)) (seq 0 P).
  Definition level (q : nat) : nat -> nat -> Z :=
    let s := map (fun k => map (fun m =>
      sumZ (fun p => nth (p * n + m) w 0 * at2 t (p * n + m) k)%Z P) (seq 0 n)) (seq 0 K) in
    let columns := map (fun k => map (fun i => map (fun m => nth i (rows k m) 0%Z) (seq 0 n))
      (seq 0 n)) (seq 0 K) in
    let scaled := map (fun k => map (fun i => map (fun m => at2 s k m * nth i (rows k m) 0)%Z
      (seq 0 n)) (seq 0 n)) (seq 0 K) in
    let top := (num * num * scale * scale * tscale)%Z in
    fun i j => ((if (j =? i)%nat then top * nth (q * n + i) w 0 else 0) - den * den *
      sumZ (fun k => if (source k =? q)%nat
        then dot (nth i (nth k scaled []) []) (nth j (nth k columns []) []) else 0) K)%Z.

  Lemma products m (c u v y : nat -> R) :
    (forall k, (k < m)%nat -> 0 <= c k /\ 0 <= u k /\ 0 <= v k /\ 0 <= y k /\ c k * c k <= u k * v k)
    -> sum (fun k => c k * y k) m * sum (fun k => c k * y k) m
       <= sum u m * sum (fun k => v k * (y k * y k)) m
    /\ 0 <= sum (fun k => c k * y k) m /\ 0 <= sum u m /\ 0 <= sum (fun k => v k * (y k * y k)) m.
  Proof.
    induction m as [|m IH]; intros H; [simpl; repeat split; lra|].
    destruct IH as (Hle & H1 & H2 & H3); [intros k Hk; apply H; lia|].
    destruct (H m ltac:(lia)) as (Hc & Hu & Hv & Hy & Hcuv). cbn [sum].
    set (A := sum (fun k => c k * y k) m) in *. set (U := sum u m) in *.
    set (V := sum (fun k => v k * (y k * y k)) m) in *.
    assert (0 <= c m * y m) by (now apply Rmult_le_pos).
    assert (Hyy : 0 <= y m * y m) by (now apply Rmult_le_pos).
    assert (0 <= v m * (y m * y m)) by (now apply Rmult_le_pos).
    repeat split; try lra.
    assert (X : 0 <= U * (v m * (y m * y m))) by (now apply Rmult_le_pos).
    assert (Y : 0 <= u m * V) by (now apply Rmult_le_pos).
    assert (mixed : 2 * A * (c m * y m) <= U * (v m * (y m * y m)) + u m * V).
    { apply Rsqr_incr_0_var; [|lra]. unfold Rsqr.
      apply Rle_trans with (4 * (U * V) * (u m * v m * (y m * y m))).
      - replace (2 * A * (c m * y m) * (2 * A * (c m * y m)))
          with (4 * (A * A) * (c m * c m * (y m * y m))) by ring.
        apply Rmult_le_compat.
        + apply Rmult_le_pos; [lra | apply Rle_0_sqr].
        + apply Rmult_le_pos; [apply Rle_0_sqr | exact Hyy].
        + lra.
        + apply Rmult_le_compat_r; [exact Hyy | exact Hcuv].
      - pose proof (Rle_0_sqr (U * (v m * (y m * y m)) - u m * V)) as Hs. unfold Rsqr in Hs. lra. }
    assert (c m * y m * (c m * y m) <= u m * (v m * (y m * y m))).
    { replace (c m * y m * (c m * y m)) with (c m * c m * (y m * y m)) by ring.
      replace (u m * (v m * (y m * y m))) with (u m * v m * (y m * y m)) by ring.
      now apply Rmult_le_compat_r. }
    lra.
  Qed.

  Lemma loads_row : loads = true -> forall p j, (p < P)%nat -> (j < n)%nat ->
    0 < IZR tscale /\ 0 < IZR whole /\
    0 < weight (p * n + j) /\ (forall k, (k < K)%nat -> 0 <= IZR (at2 t (p * n + j) k)) /\
    forall s, (s < sheets)%nat -> sum (fun k => IZR (share s (p * n + j) k) / IZR whole) K <= 1 /\
    forall k, (k < K)%nat -> 0 <= IZR (C s (p * n + j) k) / IZR unit /\
      0 <= IZR (share s (p * n + j) k) / IZR whole /\
      IZR (C s (p * n + j) k) / IZR unit * (IZR (C s (p * n + j) k) / IZR unit)
      <= IZR (share s (p * n + j) k) / IZR whole * (IZR (at2 t (p * n + j) k) / IZR tscale).
  Proof.
    intros H p j Hp Hj. pose proof positive_scales as (Hsc & Hun & Hden).
    unfold loads in H. apply andb_prop in H as [H rows_ok]. apply andb_prop in H as [Ht Hwh].
    apply Z.ltb_lt, IZR_lt in Ht, Hwh.
    pose proof (forallb_seq _ _ (forallb_seq _ _ rows_ok p Hp) j Hj) as row. cbv beta zeta in row.
    apply andb_prop in row as [row sheets_ok]. apply andb_prop in row as [Hw Htk].
    apply Z.ltb_lt, IZR_lt in Hw. repeat (split; [assumption|]). split.
    { intros k Hk. apply IZR_le, Z.leb_le. exact (forallb_seq _ _ Htk k Hk). }
    intros s Hs. pose proof (forallb_seq _ _ sheets_ok s Hs) as one. cbv beta in one.
    apply andb_prop in one as [total each]. apply Z.leb_le, IZR_le in total.
    rewrite sumZ_is in total. split.
    - rewrite (sum_ext _ (fun k => / IZR whole * IZR (share s (p * n + j) k)))
        by (intros; field; lra).
      rewrite sum_scale. apply (Rmult_le_reg_l (IZR whole)); [exact Hwh|].
      rewrite <- Rmult_assoc, Rinv_r, Rmult_1_l, Rmult_1_r by lra. exact total.
    - intros k Hk. pose proof (forallb_seq _ _ each k Hk) as Hk1. cbv beta in Hk1.
      apply andb_prop in Hk1 as [Hk1 le]. apply andb_prop in Hk1 as [H0 H1].
      apply Z.leb_le, IZR_le in H0, H1, le. rewrite !mult_IZR in le.
      repeat split; try (apply Rmult_le_pos; [assumption | left; now apply Rinv_0_lt_compat]).
      apply (Rmult_le_reg_l (IZR unit * IZR unit * (IZR whole * IZR tscale)));
        [repeat apply Rmult_lt_0_compat; assumption|].
      match goal with |- ?l <= ?r => replace l
        with (IZR (C s (p * n + j) k) * IZR (C s (p * n + j) k) * (IZR whole * IZR tscale))
        by (field; lra); replace r with (IZR (share s (p * n + j) k) * IZR (at2 t (p * n + j) k)
        * (IZR unit * IZR unit)) by (field; lra) end. exact le.
  Qed.

  Let sizes (k m : nat) : R :=
    sum (fun p => weight (p * n + m) * IZR (at2 t (p * n + m) k)) P.
  Lemma level_entry q i j : (i < n)%nat -> (j < n)%nat -> IZR (level q i j)
    = (if (j =? i)%nat then IZR num * IZR num * IZR scale * IZR scale * IZR tscale
         * weight (q * n + i) else 0)
      + - (IZR den * IZR den) * sum (fun k => if (source k =? q)%nat then
          sum (fun m => sizes k m * (IZR (nth i (rows k m) 0%Z) * IZR (nth j (rows k m) 0%Z))) n
        else 0) K.
  Proof.
    intros Hi Hj. unfold level. cbv zeta. rewrite minus_IZR, !mult_IZR, sumZ_is.
    unfold Rminus. rewrite Ropp_mult_distr_l. f_equal.
    - destruct (j =? i)%nat; rewrite ?mult_IZR; reflexivity.
    - f_equal. apply sum_ext. intros k Hk. destruct (source k =? q)%nat; [|reflexivity].
      rewrite (dot_is _ _ n).
      + apply sum_ext. intros m Hm. rewrite !nth_map_seq by assumption.
        unfold at2 at 1. rewrite !nth_map_seq by assumption.
        rewrite mult_IZR, sumZ_is. unfold sizes, weight.
        rewrite (sum_ext (fun p => IZR (nth (p * n + m) w 0 * at2 t (p * n + m) k)%Z)
          (fun p => IZR (nth (p * n + m) w 0%Z) * IZR (at2 t (p * n + m) k)))
          by (intros; apply mult_IZR). ring.
      + rewrite !nth_map_seq by assumption. rewrite map_length, seq_length. lia.
  Qed.
  Lemma level_form q x :
    form n (fun i j => IZR (level q i j)) x x
    = IZR num * IZR num * IZR scale * IZR scale * IZR tscale
        * sum (fun i => weight (q * n + i) * (x i * x i)) n
      - IZR den * IZR den * sum (fun k => if (source k =? q)%nat then
          sum (fun m => sizes k m * (sum (fun i => IZR (nth i (rows k m) 0%Z) * x i) n
            * sum (fun i => IZR (nth i (rows k m) 0%Z) * x i) n)) n else 0) K.
  Proof.
    unfold form.
    set (z k m := sum (fun i => IZR (nth i (rows k m) 0%Z) * x i) n).
    rewrite (sum_ext _ (fun i =>
      IZR num * IZR num * IZR scale * IZR scale * IZR tscale * (weight (q * n + i) * (x i * x i))
      + - (IZR den * IZR den) * sum (fun k => if (source k =? q)%nat then
          sum (fun m => sizes k m * (IZR (nth i (rows k m) 0%Z) * x i * z k m)) n else 0) K)).
    - rewrite sum_plus, !sum_scale, sum_exchange.
      rewrite (sum_ext (fun k => sum (fun i => if (source k =? q)%nat then
          sum (fun m => sizes k m * (IZR (nth i (rows k m) 0%Z) * x i * z k m)) n else 0) n)
        (fun k => if (source k =? q)%nat then sum (fun m => sizes k m * (z k m * z k m)) n else 0)).
      + unfold z. ring.
      + intros k Hk. destruct (source k =? q)%nat; [|apply sum_zero]. rewrite sum_exchange.
        apply sum_ext. intros m Hm.
        rewrite (sum_ext _ (fun i => sizes k m * z k m * (IZR (nth i (rows k m) 0%Z) * x i)))
          by (intros; ring). rewrite sum_scale. unfold z. ring.
    - intros i Hi.
      rewrite <- (sum_one (IZR num * IZR num * IZR scale * IZR scale * IZR tscale
        * (weight (q * n + i) * (x i * x i))) i n Hi).
      rewrite (sum_ext (fun j => IZR (level q i j) * x i * x j) (fun j =>
        (if (j =? i)%nat then IZR num * IZR num * IZR scale * IZR scale * IZR tscale
          * (weight (q * n + i) * (x i * x i)) else 0)
        + - (IZR den * IZR den) * sum (fun k => if (source k =? q)%nat then
            sum (fun m => sizes k m * (IZR (nth i (rows k m) 0%Z) * x i
              * (IZR (nth j (rows k m) 0%Z) * x j))) n else 0) K)).
      + rewrite sum_plus, sum_scale. f_equal. f_equal. rewrite sum_exchange. apply sum_ext.
        intros k Hk. destruct (source k =? q)%nat; [|apply sum_zero]. rewrite sum_exchange.
        apply sum_ext. intros m Hm. unfold z. rewrite !sum_scale. ring.
      + intros j Hj. rewrite level_entry by assumption.
        rewrite !Rmult_plus_distr_r. f_equal.
        * destruct (Nat.eqb_spec j i) as [->|E]; ring.
        * rewrite !Rmult_assoc. f_equal. rewrite (Rmult_comm (sum _ K)), <- sum_scale.
          apply sum_ext. intros k Hk. destruct (source k =? q)%nat; [|ring].
          rewrite <- sum_scale. apply sum_ext. intros m Hm. ring.
  Qed.
  Lemma level_sym q i j : (i < n)%nat -> (j < n)%nat -> level q i j = level q j i.
  Proof.
    intros Hi Hj. apply eq_IZR. rewrite !level_entry by assumption. f_equal.
    - rewrite (Nat.eqb_sym i j). destruct (Nat.eqb_spec j i); [subst|]; reflexivity.
    - f_equal. apply sum_ext. intros k Hk. destruct (source k =? q)%nat; [|reflexivity].
      apply sum_ext. intros m Hm. ring.
  Qed.

  (* the distance, as the length of a form *)
  Definition diagonal (i j : nat) : R := if (j =? i)%nat then weight i else 0.
  Definition spread : vec -> vec -> R := far (P * n) diagonal.
  Lemma diagonal_form x : form (P * n) diagonal x x
    = sum (fun i => weight i * (x i * x i)) (P * n).
  Proof.
    apply sum_ext. intros i Hi. rewrite <- (sum_one (weight i * (x i * x i)) i (P * n) Hi).
    apply sum_ext. intros j _. unfold diagonal. destruct (Nat.eqb_spec j i) as [->|E]; ring.
  Qed.
  Lemma diagonal_positive : loads = true -> forall x, 0 <= form (P * n) diagonal x x.
  Proof.
    intros H x. rewrite diagonal_form. apply sum_pos. intros i Hi.
    destruct (block_index P n i Hi) as (p & j & Hp & Hj & ->).
    destruct (loads_row H p j Hp Hj) as (_ & _ & Hw & _).
    pose proof (Rle_0_sqr (x (p * n + j)%nat)) as Hx. unfold Rsqr in Hx. nra.
  Qed.
  Lemma spread_same a : spread a a = 0.
  Proof. apply far_same. Qed.
  Lemma spread_triangle : loads = true -> forall a b c, spread a c <= spread a b + spread b c.
  Proof.
    intros H a b c. apply far_triangle; [|now apply diagonal_positive].
    intros i j. unfold diagonal. rewrite (Nat.eqb_sym i j).
    destruct (Nat.eqb_spec j i) as [->|E]; reflexivity.
  Qed.

  Variables (D : nat -> list Z) (L : nat -> list (list Z)) (c e : nat -> Z).
  Hypothesis Hlevel : forallb (fun q => psd n (level q) (D q) (L q) (c q) (e q)) (seq 0 P) = true.

  Theorem spread_contracts : loads = true -> forall h g u, inside h -> inside g -> allowed u ->
    spread (step h u) (step g u) <= rate num den * spread h g.
  Proof.
    intros H h g u Hh Hg Hu. pose proof positive_scales as (Hsc & Hun & Hden).
    pose proof (rate_unit num den Hnum) as Hrate. set (x := away h g).
    set (Y k m := sum (fun i => IZR (nth i (rows k m) 0%Z) * x (source k * n + i)%nat) n).
    (* unit by unit *)
    assert (units : forall p j, (p < P)%nat -> (j < n)%nat ->
      weight (p * n + j) * (away (step h u) (step g u) (p * n + j)%nat
        * away (step h u) (step g u) (p * n + j)%nat)
      <= / (IZR tscale * IZR scale * IZR scale) * sum (fun k => weight (p * n + j)
        * IZR (at2 t (p * n + j) k) * (Y k j * Y k j)) K).
    { intros p j Hp Hj. destruct (loads_row H p j Hp Hj) as (Hts & Hwh & Hw & Ht & row).
      destruct (Hmajor h g u p j Hh Hg Hu Hp Hj) as (s & Hs & Hle).
      destruct (row s Hs) as [Htotal Heach]. fold x in Hle.
      pose proof (products K (fun k => IZR (C s (p * n + j) k) / IZR unit)
        (fun k => IZR (share s (p * n + j) k) / IZR whole)
        (fun k => IZR (at2 t (p * n + j) k) / IZR tscale) (fun k => Rabs (signal k j x))) as Hprod.
      destruct Hprod as (Hcs & H0 & H1 & H2).
      { intros k Hk. destruct (Heach k Hk) as (Hc & Hsh & Hcc). repeat split; try assumption.
        - apply Rmult_le_pos; [now apply Ht | left; now apply Rinv_0_lt_compat].
        - apply Rabs_pos. }
      set (total := sum (fun k => IZR (C s (p * n + j) k) / IZR unit * Rabs (signal k j x)) K) in *.
      set (squares := sum (fun k => IZR (at2 t (p * n + j) k) / IZR tscale
        * (Rabs (signal k j x) * Rabs (signal k j x))) K) in *.
      assert (Hd : away (step h u) (step g u) (p * n + j)%nat
        * away (step h u) (step g u) (p * n + j)%nat <= squares).
      { apply Rle_trans with (total * total).
        - unfold away. rewrite <- Rabs_right with (r := (_ * _)) by (apply Rle_ge, Rle_0_sqr).
          rewrite Rabs_mult. apply Rmult_le_compat; try apply Rabs_pos; exact Hle.
        - eapply Rle_trans; [exact Hcs|]. nra. }
      apply (Rmult_le_compat_l (weight (p * n + j))) in Hd; [|lra].
      eapply Rle_trans; [exact Hd|]. right. unfold squares. rewrite <- !sum_scale.
      apply sum_ext. intros k Hk. unfold signal. fold (Y k j). unfold Rdiv at 2 3.
      rewrite !Rabs_mult, (Rabs_right (/ IZR scale)) by (left; now apply Rinv_0_lt_compat).
      assert (sq : Rabs (Y k j) * Rabs (Y k j) = Y k j * Y k j)
        by (rewrite <- Rabs_mult; apply Rabs_right, Rle_ge, Rle_0_sqr).
      rewrite <- sq. field. lra. }
    (* part by part *)
    assert (parts : forall q, (q < P)%nat -> sum (fun k => if (source k =? q)%nat then
      sum (fun m => sizes k m * (Y k m * Y k m)) n else 0) K
      <= IZR scale * IZR scale * IZR tscale * (rate num den * rate num den)
        * sum (fun i => weight (q * n + i) * (x (q * n + i)%nat * x (q * n + i)%nat)) n).
    { intros q Hq. pose proof (forallb_seq _ _ Hlevel q Hq) as Hpsd. cbv beta in Hpsd.
      pose proof (psd_is _ _ _ _ _ _ Hpsd (level_sym q) (fun i => x (q * n + i)%nat)) as Hform.
      rewrite level_form in Hform.
      rewrite (sum_ext (fun k => if (source k =? q)%nat then
          sum (fun m => sizes k m * (Y k m * Y k m)) n else 0)
        (fun k => if (source k =? q)%nat then
          sum (fun m => sizes k m * (sum (fun i => IZR (nth i (rows k m) 0%Z) * x (q * n + i)%nat) n
            * sum (fun i => IZR (nth i (rows k m) 0%Z) * x (q * n + i)%nat) n)) n else 0)).
      - set (left := sum _ K) in *. set (right := sum _ n) in *. unfold rate.
        apply (Rmult_le_reg_l (IZR den * IZR den)); [now apply Rmult_lt_0_compat|].
        replace (IZR den * IZR den * (IZR scale * IZR scale * IZR tscale
          * (IZR num / IZR den * (IZR num / IZR den)) * right))
          with (IZR num * IZR num * IZR scale * IZR scale * IZR tscale * right) by (field; lra).
        lra.
      - intros k Hk. destruct (Nat.eqb_spec (source k) q) as [<-|E]; [|reflexivity].
        apply sum_ext. intros m Hm. reflexivity. }
    assert (below : form (P * n) diagonal (away (step h u) (step g u)) (away (step h u) (step g u))
      <= rate num den * rate num den * form (P * n) diagonal x x).
    { rewrite !diagonal_form, !sum_blocks. destruct (Nat.eq_dec P 0) as [EP|EP].
      { rewrite EP. simpl. lra. }
      destruct (Nat.eq_dec n 0) as [En|En].
      { rewrite En. cbn [sum]. rewrite !sum_zero. lra. }
      destruct (loads_row H 0%nat 0%nat ltac:(lia) ltac:(lia)) as (Hts & _).
      apply Rle_trans with (sum (fun p => sum (fun j => / (IZR tscale * IZR scale * IZR scale)
        * sum (fun k => weight (p * n + j) * IZR (at2 t (p * n + j) k) * (Y k j * Y k j)) K) n) P).
      { apply sum_le. intros p Hp. apply sum_le. intros j Hj. now apply units. }
      rewrite (sum_ext _ (fun p => / (IZR tscale * IZR scale * IZR scale) * sum (fun j =>
        sum (fun k => weight (p * n + j) * IZR (at2 t (p * n + j) k) * (Y k j * Y k j)) K) n))
        by (intros; apply sum_scale).
      rewrite sum_scale.
      assert (arranged : sum (fun p => sum (fun j => sum (fun k => weight (p * n + j)
          * IZR (at2 t (p * n + j) k) * (Y k j * Y k j)) K) n) P
        = sum (fun q => sum (fun k => if (source k =? q)%nat then
            sum (fun m => sizes k m * (Y k m * Y k m)) n else 0) K) P).
      { rewrite (sum_exchange (fun q k => if (source k =? q)%nat then
            sum (fun m => sizes k m * (Y k m * Y k m)) n else 0)).
        rewrite (sum_ext (fun k => sum (fun q => if (source k =? q)%nat then
            sum (fun m => sizes k m * (Y k m * Y k m)) n else 0) P)
          (fun k => sum (fun m => sizes k m * (Y k m * Y k m)) n)).
        - rewrite (sum_ext _ (fun p => sum (fun k => sum (fun j => weight (p * n + j)
            * IZR (at2 t (p * n + j) k) * (Y k j * Y k j)) n) K)) by (intros; apply sum_exchange).
          rewrite sum_exchange. apply sum_ext. intros k Hk. rewrite sum_exchange.
          apply sum_ext. intros m Hm. unfold sizes. rewrite (Rmult_comm (sum _ P)), <- sum_scale.
          apply sum_ext. intros p Hp. ring.
        - intros k Hk. destruct (shape k Hk) as [Hsrc _].
          etransitivity; [|exact (sum_one _ (source k) P Hsrc)].
          apply sum_ext. intros q _. now rewrite Nat.eqb_sym. }
      rewrite arranged.
      apply (Rmult_le_reg_l (IZR tscale * IZR scale * IZR scale));
        [repeat apply Rmult_lt_0_compat; assumption|].
      rewrite <- Rmult_assoc, Rinv_r, Rmult_1_l
        by (apply Rgt_not_eq; repeat apply Rmult_lt_0_compat; assumption).
      rewrite <- !sum_scale. apply sum_le. intros q Hq. eapply Rle_trans; [now apply parts|].
      right. ring. }
    unfold spread, far. fold x.
    replace (rate num den * sqrt (form (P * n) diagonal x x))
      with (sqrt (rate num den * rate num den * form (P * n) diagonal x x)).
    - now apply sqrt_le_1_alt.
    - rewrite sqrt_mult_alt by nra. rewrite sqrt_square by lra. reflexivity.
  Qed.
End Terms.

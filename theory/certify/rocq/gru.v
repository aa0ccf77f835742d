(* ---- a step of a gated recurrent unit whose reset gate stands after the product: the rows of W and
   the inputs u are those of the gates reset, update, candidate, stacked *)
Lemma mean_below z zz x X r : 0 <= z <= 1 -> 0 <= x -> 0 <= X -> 0 <= r -> 1 - zz <= r ->
  (zz <= z /\ x <= X) \/ (z <= zz /\ X <= x) -> z * x + (1 - z) * X <= zz * x + r * X.
Proof.
  intros Hz Hx HX Hr H1 [[E1 E2]|[E1 E2]].
  - apply Rle_trans with (zz * x + (1 - zz) * X); [nra|].
    apply Rplus_le_compat_l. now apply Rmult_le_compat_r.
  - destruct (Rle_dec zz 1) as [L|L].
    + apply Rle_trans with (zz * x + (1 - zz) * X); [nra|].
      apply Rplus_le_compat_l. now apply Rmult_le_compat_r.
    + assert (0 <= r * X) by (now apply Rmult_le_pos). nra.
Qed.

Section Gru.
  Variables (n : nat) (W : list (list Z)) (scale : Z) (held_bias : list Z) (held_scale : Z).
  (* ends of the states, inputs, arguments and values of the gates, and of what reset multiplies *)
  Variables (lo hi ulo uhi alo ahi glo ghi vlo vhi : list Z).

  Definition sees (r : nat) (h : vec) : R := sum (fun j => IZR (at2 W r j) / IZR scale * h j) n.
  Definition held (h : vec) (j : nat) : R :=
    sees (2 * n + j) h + IZR (at1 held_bias j) / IZR held_scale.
  Definition reset (h u : vec) (j : nat) : R := logistic (sees j h + u j).
  Definition update (h u : vec) (j : nat) : R := logistic (sees (n + j) h + u (n + j)%nat).
  Definition argument (h u : vec) (j : nat) : R := u (2 * n + j)%nat + reset h u j * held h j.
  Definition gru (h u : vec) : vec := fun j =>
    (1 - update h u j) * tanh (argument h u j) + update h u j * h j.

  Definition gru_reaches : bool := forallb (fun r =>
    (at1 alo r * scale <=? least (at2 W r) (at1 lo) (at1 hi) n + at1 ulo r * scale)%Z
    && (least (at2 W r) (at1 hi) (at1 lo) n + at1 uhi r * scale <=? at1 ahi r * scale)%Z)
    (seq 0 (2 * n)).
  Definition gru_holds : bool := forallb (fun j => let r := (2 * n + j)%nat in
    (at1 vlo j * (scale * held_scale) <=? least (at2 W r) (at1 lo) (at1 hi) n * held_scale
       + at1 held_bias j * (one * scale))%Z
    && (least (at2 W r) (at1 hi) (at1 lo) n * held_scale + at1 held_bias j * (one * scale)
       <=? at1 vhi j * (scale * held_scale))%Z
    && (at1 alo r * one <=? at1 ulo r * one + low_product (at1 glo j) (at1 ghi j) (at1 vlo j))%Z
    && (at1 uhi r * one + top_product (at1 glo j) (at1 ghi j) (at1 vhi j) <=? at1 ahi r * one)%Z)
    (seq 0 n).
  Definition gru_gates : bool := forallb (fun j =>
    logistic_in (at1 alo j) (at1 ahi j) (at1 glo j) (at1 ghi j)
    && logistic_in (at1 alo (n + j)) (at1 ahi (n + j)) (at1 glo (n + j)) (at1 ghi (n + j))
    && tanh_in (at1 alo (2 * n + j)) (at1 ahi (2 * n + j)) (at1 glo (2 * n + j))
         (at1 ghi (2 * n + j))) (seq 0 n).
  Definition gru_stays : bool := forallb (fun j =>
    (at1 lo j <=? 0)%Z && (0 <=? at1 hi j)%Z
    && (at1 lo j <=? at1 glo (2 * n + j))%Z && (at1 ghi (2 * n + j) <=? at1 hi j)%Z) (seq 0 n).

  (* at an end z of the update gate *)
  Definition gru_row (z : Z) (j : nat) : list Z :=
    let rest := Z.max 0 (one - z) in
    let slope := bump_tanh (at1 glo (2 * n + j)) (at1 ghi (2 * n + j)) in
    [z;
     ceil_product rest (ceil_product slope
       (ceil_product (bump (at1 glo j) (at1 ghi j)) (largest_of (at1 vlo j) (at1 vhi j))));
     ceil_product (bump (at1 glo (n + j)) (at1 ghi (n + j)))
       (largest_of (at1 lo j - at1 ghi (2 * n + j)) (at1 hi j - at1 glo (2 * n + j)));
     ceil_product rest (ceil_product slope (at1 ghi j))].
  Definition gru_terms : nat -> nat -> nat -> Z :=
    let least_z := map (fun j => gru_row (at1 glo (n + j)) j) (seq 0 n) in
    let most_z := map (fun j => gru_row (at1 ghi (n + j)) j) (seq 0 n) in
    fun s i k => at2 (match s with O => least_z | _ => most_z end) i k.
  Definition gru_source (k : nat) : nat := 0%nat.

  Hypothesis Hscale : (0 <? scale)%Z = true.
  Hypothesis Hheld : (0 <? held_scale)%Z = true.
  Hypothesis Hreaches : gru_reaches = true.
  Hypothesis Hholds : gru_holds = true.
  Hypothesis Hgates : gru_gates = true.
  Hypothesis Hstays : gru_stays = true.

  Definition gru_inside : vec -> Prop := in_box lo hi n.
  Definition gru_allowed : vec -> Prop := in_box ulo uhi (3 * n).

  Lemma gru_scales : 0 < IZR scale /\ 0 < IZR held_scale.
  Proof. split; apply (IZR_lt 0); now apply Z.ltb_lt. Qed.
  Lemma sees_scaled r h : sees r h * IZR scale = sum (fun j => IZR (at2 W r j) * h j) n.
  Proof.
    pose proof gru_scales as [Hs _]. unfold sees. rewrite Rmult_comm, <- sum_scale.
    apply sum_ext. intros j _. field. lra.
  Qed.
  Lemma gate_argument h u r : gru_inside h -> gru_allowed u -> (r < 2 * n)%nat ->
    within2 (at1 alo r) (at1 ahi r) (sees r h + u r).
  Proof.
    intros Hh Hu Hr. pose proof (forallb_seq _ _ Hreaches r Hr) as H. cbv beta in H.
    apply andb_prop in H as [H0 H1]. apply Z.leb_le in H0, H1. apply IZR_le in H0, H1.
    rewrite plus_IZR, !mult_IZR in H0, H1. pose proof gru_scales as [Hs _].
    pose proof (least_is (at2 W r) (at1 lo) (at1 hi) n h Hh) as L.
    pose proof (most_is (at2 W r) (at1 lo) (at1 hi) n h Hh) as M.
    destruct (Hu r ltac:(lia)) as [U0 U1]. fold (at1 ulo r) in U0. fold (at1 uhi r) in U1.
    rewrite <- sees_scaled in L, M. unfold within2, between. set (x := sees r h) in *.
    split; apply (Rmult_le_reg_r (IZR scale)); try exact Hs; nra.
  Qed.
  Lemma held_within h j : gru_inside h -> (j < n)%nat ->
    within2 (at1 vlo j) (at1 vhi j) (held h j).
  Proof.
    intros Hh Hj. pose proof (forallb_seq _ _ Hholds j Hj) as H. cbv beta zeta in H.
    repeat rewrite andb_true_iff in H. destruct H as (((H0 & H1) & _) & _).
    apply Z.leb_le in H0, H1. apply IZR_le in H0, H1. rewrite plus_IZR, !mult_IZR in H0, H1.
    pose proof gru_scales as [Hs Ht]. set (r := (2 * n + j)%nat) in *.
    pose proof (least_is (at2 W r) (at1 lo) (at1 hi) n h Hh) as L.
    pose proof (most_is (at2 W r) (at1 lo) (at1 hi) n h Hh) as M.
    rewrite <- sees_scaled in L, M. unfold within2, between, held. fold r.
    set (x := sees r h) in *.
    assert (B : (x + IZR (at1 held_bias j) / IZR held_scale) * IZR one * (IZR scale * IZR held_scale)
      = x * IZR scale * IZR one * IZR held_scale
        + IZR (at1 held_bias j) * (IZR one * IZR scale)) by (field; lra).
    apply (Rmult_le_compat_r (IZR held_scale)) in L, M; try lra.
    split; apply (Rmult_le_reg_r (IZR scale * IZR held_scale));
      try (now apply Rmult_lt_0_compat); rewrite B; lra.
  Qed.

  Lemma gru_values h u j : gru_inside h -> gru_allowed u -> (j < n)%nat ->
    (within2 (at1 glo j) (at1 ghi j) (reset h u j) /\ 0 <= IZR (at1 glo j)) /\
    (within2 (at1 glo (n + j)) (at1 ghi (n + j)) (update h u j) /\ 0 <= IZR (at1 glo (n + j))) /\
    within2 (at1 glo (2 * n + j)) (at1 ghi (2 * n + j)) (tanh (argument h u j)).
  Proof.
    intros Hh Hu Hj. pose proof (forallb_seq _ _ Hgates j Hj) as H. cbv beta in H.
    repeat rewrite andb_true_iff in H. destruct H as ((Hr & Hz) & Ht).
    pose proof (logistic_in_is _ _ _ _ _ Hr (gate_argument h u j Hh Hu ltac:(lia))) as [Vr Pr].
    pose proof (logistic_in_is _ _ _ _ _ Hz (gate_argument h u (n + j) Hh Hu ltac:(lia))) as Vz.
    split; [exact (conj Vr Pr)|]. split; [exact Vz|].
    refine (tanh_in_is _ _ _ _ _ Ht _). pose proof (held_within h j Hh Hj) as Vv.
    fold (reset h u j) in Vr.
    pose proof (top_product_is _ _ _ _ _ _ Pr Vr Vv) as Top.
    pose proof (low_product_is _ _ _ _ _ _ Pr Vr Vv) as Low.
    pose proof (forallb_seq _ _ Hholds j Hj) as H. cbv beta zeta in H.
    repeat rewrite andb_true_iff in H. destruct H as ((_ & H0) & H1).
    apply Z.leb_le in H0, H1. apply IZR_le in H0, H1. rewrite plus_IZR, !mult_IZR in H0, H1.
    destruct (Hu (2 * n + j)%nat ltac:(lia)) as [U0 U1].
    fold (at1 ulo (2 * n + j)) in U0. fold (at1 uhi (2 * n + j)) in U1.
    pose proof one_positive as Ho. unfold within2, between, argument.
    split; apply (Rmult_le_reg_r (IZR one)); try exact Ho; nra.
  Qed.

  Lemma gru_starts : gru_inside zero.
  Proof.
    intros j Hj. pose proof (forallb_seq _ _ Hstays j Hj) as H. cbv beta in H.
    repeat rewrite andb_true_iff in H. destruct H as (((H0 & H1) & _) & _).
    apply Z.leb_le in H0, H1. apply IZR_le in H0, H1.
    unfold within2, between, zero. fold (at1 lo j) (at1 hi j). lra.
  Qed.
  Theorem gru_kept h u : gru_inside h -> gru_allowed u -> gru_inside (gru h u).
  Proof.
    intros Hh Hu j Hj. destruct (gru_values h u j Hh Hu Hj) as (_ & _ & Vt0 & Vt1).
    destruct (Hh j Hj) as [H0 H1]. fold (at1 lo j) in H0. fold (at1 hi j) in H1.
    pose proof (forallb_seq _ _ Hstays j Hj) as H. cbv beta in H.
    repeat rewrite andb_true_iff in H. destruct H as ((_ & T0) & T1).
    apply Z.leb_le in T0, T1. apply IZR_le in T0, T1.
    pose proof (logistic_range (sees (n + j) h + u (n + j)%nat)) as Rz.
    fold (update h u j) in Rz. unfold within2, between, gru.
    fold (at1 lo j) (at1 hi j). set (z := update h u j) in *. set (t := tanh (argument h u j)) in *.
    replace (((1 - z) * t + z * h j) * IZR one)
      with ((1 - z) * (t * IZR one) + z * (h j * IZR one)) by ring.
    set (x := t * IZR one) in *. set (y := h j * IZR one) in *. split; nra.
  Qed.

  Theorem gru_majorised : majorised n 1 4 2 gru_source (stack_rows n W scale) gru_terms scale one gru
    gru_inside gru_allowed.
  Proof.
    intros h g u p j Hh Hg Hu Hp Hj. assert (p = 0%nat) by lia. subst p.
    replace (0 * n + j)%nat with j by lia. pose proof one_positive as Ho.
    destruct (gru_values h u j Hh Hu Hj) as ((Vr & Pr) & (Vz & Pz) & Vt).
    destruct (gru_values g u j Hg Hu Hj) as ((Vr' & _) & (Vz' & _) & Vt').
    pose proof (held_within g j Hg Hj) as Vv'.
    pose proof (logistic_on _ _ _ _ Vr Vr') as Sr. pose proof (logistic_on _ _ _ _ Vz Vz') as Sz.
    pose proof (tanh_on _ _ _ _ Vt Vt') as St. fold (reset h u j) (reset g u j) in Sr.
    fold (update h u j) (update g u j) in Sz.
    pose proof (logistic_range (sees j h + u j)) as Rr. fold (reset h u j) in Rr.
    pose proof (logistic_range (sees (n + j) h + u (n + j)%nat)) as Rz. fold (update h u j) in Rz.
    (* the signals *)
    set (d0 := h j - g j). set (dr := sees j h - sees j g).
    set (dz := sees (n + j) h - sees (n + j) g). set (dn := sees (2 * n + j) h - sees (2 * n + j) g).
    assert (s0 : signal n gru_source (stack_rows n W scale) scale 0 j (away h g) = d0)
      by (now rewrite own_signal by assumption).
    assert (sk : forall k, signal n gru_source (stack_rows n W scale) scale (S k) j (away h g)
      = sees (k * n + j) h - sees (k * n + j) g).
    { intros k. rewrite seen_signal by assumption. reflexivity. }
    (* bounds of the factors *)
    assert (Br : 0 <= Rabs (reset h u j) <= IZR (at1 ghi j) / IZR one).
    { rewrite Rabs_right by lra. split; [lra|]. apply (Rmult_le_reg_r (IZR one)); [exact Ho|].
      unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra. apply Vr. }
    pose proof (largest_of_is _ _ _ Vv') as Bv.
    assert (Ba : 0 <= Rabs (g j - tanh (argument g u j))
      <= IZR (largest_of (at1 lo j - at1 ghi (2 * n + j)) (at1 hi j - at1 glo (2 * n + j))) / IZR one).
    { apply largest_of_is. destruct (Hg j Hj) as [G0 G1]. fold (at1 lo j) in G0.
      fold (at1 hi j) in G1. destruct Vt' as [T0 T1]. unfold within2, between.
      rewrite !minus_IZR. lra. }
    assert (Bsr : 0 <= IZR (bump (at1 glo j) (at1 ghi j)) / IZR one).
    { eapply Rle_trans; [|apply (bump_is _ _ _ Vr)]. nra. }
    assert (Bsz : 0 <= IZR (bump (at1 glo (n + j)) (at1 ghi (n + j))) / IZR one).
    { eapply Rle_trans; [|apply (bump_is _ _ _ Vz)]. nra. }
    assert (Bst : 0 <= IZR (bump_tanh (at1 glo (2 * n + j)) (at1 ghi (2 * n + j))) / IZR one).
    { eapply Rle_trans; [|apply (bump_tanh_is _ _ _ Vt)].
      pose proof (logistic_range (2 * argument h u j)). rewrite tanh_logistic. nra. }
    set (slope := bump_tanh (at1 glo (2 * n + j)) (at1 ghi (2 * n + j))) in *.
    pose proof (ceil_product_is _ _ _ _ (conj Bsr (Rle_refl _)) Bv) as C1.
    set (turned := ceil_product (bump (at1 glo j) (at1 ghi j)) (largest_of (at1 vlo j) (at1 vhi j)))
      in *.
    assert (Bturned : 0 <= IZR turned / IZR one) by lra.
    pose proof (ceil_product_is _ _ _ _ (conj Bst (Rle_refl _)) (conj Bturned (Rle_refl _))) as C2.
    assert (Bgr : 0 <= IZR (at1 ghi j) / IZR one) by lra.
    pose proof (ceil_product_is _ _ _ _ (conj Bst (Rle_refl _)) (conj Bgr (Rle_refl _))) as C3.
    pose proof (ceil_product_is _ _ _ _ (conj Bsz (Rle_refl _)) Ba) as C4.
    set (by_r := ceil_product slope turned) in *. set (by_n := ceil_product slope (at1 ghi j)) in *.
    set (by_z := ceil_product (bump (at1 glo (n + j)) (at1 ghi (n + j))) _) in *.
    (* the candidate *)
    set (X := IZR by_r / IZR one * Rabs dr + IZR by_n / IZR one * Rabs dn).
    pose proof (Rabs_pos d0) as D0. pose proof (Rabs_pos dr) as Dr.
    pose proof (Rabs_pos dz) as Dz. pose proof (Rabs_pos dn) as Dn.
    assert (candidate : Rabs (tanh (argument h u j) - tanh (argument g u j)) <= X).
    { eapply Rle_trans; [exact St|].
      assert (inner : Rabs (argument h u j - argument g u j)
        <= IZR (at1 ghi j) / IZR one * Rabs dn + IZR turned / IZR one * Rabs dr).
      { unfold argument. replace (u (2 * n + j)%nat + reset h u j * held h j
          - (u (2 * n + j)%nat + reset g u j * held g j))
          with (reset h u j * held h j - reset g u j * held g j) by ring.
        eapply Rle_trans; [apply (two_products _ _ _ _ _ _ (proj2 Br) (Rle_refl _))|].
        apply Rplus_le_compat.
        - apply Rmult_le_compat_l; [lra|]. right. f_equal. unfold held, dn. ring.
        - eapply Rle_trans; [apply Rmult_le_compat_l; [apply Rabs_pos | exact Sr]|].
          eapply Rle_trans; [|apply Rmult_le_compat_r; [exact Dr | apply C1]]. right.
          replace (sees j h + u j - (sees j g + u j)) with dr by (unfold dr; ring). ring. }
      apply (Rmult_le_compat_l (IZR slope / IZR one)) in inner; [|exact Bst].
      eapply Rle_trans; [exact inner|]. unfold X.
      pose proof (Rmult_le_compat_r _ _ _ Dr (proj2 C2)).
      pose proof (Rmult_le_compat_r _ _ _ Dn (proj2 C3)). lra. }
    assert (HX : 0 <= X) by (eapply Rle_trans; [apply Rabs_pos | exact candidate]).
    (* the step *)
    set (z := update h u j) in *.
    assert (all : Rabs (gru h u j - gru g u j)
      <= z * Rabs d0 + (1 - z) * X + IZR by_z / IZR one * Rabs dz).
    { unfold gru. fold z. replace ((1 - z) * tanh (argument h u j) + z * h j
          - ((1 - update g u j) * tanh (argument g u j) + update g u j * g j))
        with (z * d0 + (1 - z) * (tanh (argument h u j) - tanh (argument g u j))
              + (z - update g u j) * (g j - tanh (argument g u j))) by (unfold d0; ring).
      eapply Rle_trans; [apply Rabs_triang|]. apply Rplus_le_compat.
      - eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_mult, (Rabs_right z), (Rabs_right (1 - z))
          by lra. apply Rplus_le_compat_l. apply Rmult_le_compat_l; [lra | exact candidate].
      - rewrite Rabs_mult, Rmult_comm.
        eapply Rle_trans; [apply Rmult_le_compat_l; [apply Rabs_pos | exact Sz]|].
        eapply Rle_trans; [|apply Rmult_le_compat_r; [exact Dz | apply C4]]. right.
        replace (sees (n + j) h + u (n + j)%nat - (sees (n + j) g + u (n + j)%nat)) with dz
          by (unfold dz; ring). ring. }
    (* at an end of the update gate *)
    assert (ends : forall end_z, (IZR end_z / IZR one <= z /\ Rabs d0 <= X)
        \/ (z <= IZR end_z / IZR one /\ X <= Rabs d0) ->
      Rabs (gru h u j - gru g u j) <= sum (fun k => IZR (nth k (gru_row end_z j) 0%Z) / IZR one
        * Rabs (signal n gru_source (stack_rows n W scale) scale k j (away h g))) 4).
    { intros end_z Hend. set (zz := IZR end_z / IZR one) in *.
      set (rest := Z.max 0 (one - end_z)).
      assert (Brest : 0 <= IZR rest / IZR one /\ 1 - zz <= IZR rest / IZR one).
      { assert (R1 : IZR one - IZR end_z <= IZR rest).
        { rewrite <- minus_IZR. apply IZR_le. unfold rest. lia. }
        assert (R0 : 0 <= IZR rest) by (apply (IZR_le 0); unfold rest; lia).
        split; [apply Rmult_le_pos; [exact R0 | left; now apply Rinv_0_lt_compat]|].
        unfold zz. apply (Rmult_le_reg_r (IZR one)); [exact Ho|].
        replace ((1 - IZR end_z / IZR one) * IZR one) with (IZR one - IZR end_z) by (field; lra).
        replace (IZR rest / IZR one * IZR one) with (IZR rest) by (field; lra). exact R1. }
      assert (below : z * Rabs d0 + (1 - z) * X <= zz * Rabs d0 + IZR rest / IZR one * X).
      { apply mean_below; try assumption; try apply Brest. lra. }
      assert (Bby_r : 0 <= IZR by_r / IZR one) by lra.
      assert (Bby_n : 0 <= IZR by_n / IZR one) by lra.
      pose proof (ceil_product_is _ _ _ _ (conj (proj1 Brest) (Rle_refl _))
        (conj Bby_r (Rle_refl _))) as C5.
      pose proof (ceil_product_is _ _ _ _ (conj (proj1 Brest) (Rle_refl _))
        (conj Bby_n (Rle_refl _))) as C6.
      eapply Rle_trans; [exact all|]. cbn [sum]. rewrite s0, !sk.
      replace (0 * n + j)%nat with j by lia. replace (1 * n + j)%nat with (n + j)%nat by lia.
      fold dr dz dn. unfold gru_row. cbv zeta. cbn [nth]. fold rest slope turned by_r by_n by_z.
      fold zz.
      assert (split : IZR rest / IZR one * X
        <= IZR (ceil_product rest by_r) / IZR one * Rabs dr
           + IZR (ceil_product rest by_n) / IZR one * Rabs dn).
      { unfold X. rewrite Rmult_plus_distr_l. apply Rplus_le_compat; rewrite <- Rmult_assoc;
          apply Rmult_le_compat_r; assumption || apply C5 || apply C6. }
      lra. }
    assert (table : forall s k, gru_terms s j k = nth k (gru_row
      (match s with O => at1 glo (n + j) | _ => at1 ghi (n + j) end) j) 0%Z).
    { intros s k. unfold gru_terms, at2. cbv zeta.
      destruct s; (rewrite nth_map_seq by exact Hj); reflexivity. }
    assert (Ez : IZR (at1 glo (n + j)) / IZR one <= z <= IZR (at1 ghi (n + j)) / IZR one).
    { destruct Vz as [Z0 Z1]. split; apply (Rmult_le_reg_r (IZR one)); try exact Ho;
        unfold Rdiv; rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra; assumption. }
    destruct (Rle_dec (Rabs d0) X) as [L|L].
    - exists 0%nat. split; [lia|].
      rewrite (sum_ext _ (fun k => IZR (nth k (gru_row (at1 glo (n + j)) j) 0%Z) / IZR one
        * Rabs (signal n gru_source (stack_rows n W scale) scale k j (away h g))))
        by (intros k _; now rewrite table).
      apply ends. left. split; [apply Ez | exact L].
    - exists 1%nat. split; [lia|].
      rewrite (sum_ext _ (fun k => IZR (nth k (gru_row (at1 ghi (n + j)) j) 0%Z) / IZR one
        * Rabs (signal n gru_source (stack_rows n W scale) scale k j (away h g))))
        by (intros k _; now rewrite table).
      apply ends. right. split; [apply Ez | lra].
  Qed.
End Gru.

(* ---- a step of an LSTM: the cells are the entries 0 .. n - 1 of a state, the outputs follow; the
   rows of W and the inputs u are those of the gates in, forget, cell, out, stacked *)
Section Lstm.
  Variables (n : nat) (W : list (list Z)) (scale : Z).
  (* ends of the states, of the inputs, of the arguments of the gates and of their values *)
  Variables (lo hi ulo uhi alo ahi glo ghi tlo thi : list Z).

  Definition drawn (r : nat) (h u : vec) : R :=
    sum (fun j => IZR (at2 W r j) / IZR scale * h (n + j)%nat) n + u r.
  Definition cell (h u : vec) (j : nat) : R :=
    logistic (drawn (n + j) h u) * h j + logistic (drawn j h u) * tanh (drawn (2 * n + j) h u).
  Definition lstm (h u : vec) : vec := fun i =>
    if (i <? n)%nat then cell h u i
    else logistic (drawn (3 * n + (i - n)) h u) * tanh (cell h u (i - n)).
  Definition lstm_reaches : bool := forallb (fun r =>
    (at1 alo r * scale <=? least (at2 W r) (fun j => at1 lo (n + j)) (fun j => at1 hi (n + j)) n
       + at1 ulo r * scale)%Z
    && (least (at2 W r) (fun j => at1 hi (n + j)) (fun j => at1 lo (n + j)) n
       + at1 uhi r * scale <=? at1 ahi r * scale)%Z) (seq 0 (4 * n)).
  Definition lstm_gates : bool := forallb (fun j =>
    logistic_in (at1 alo j) (at1 ahi j) (at1 glo j) (at1 ghi j)
    && logistic_in (at1 alo (n + j)) (at1 ahi (n + j)) (at1 glo (n + j)) (at1 ghi (n + j))
    && tanh_in (at1 alo (2 * n + j)) (at1 ahi (2 * n + j)) (at1 glo (2 * n + j))
         (at1 ghi (2 * n + j))
    && logistic_in (at1 alo (3 * n + j)) (at1 ahi (3 * n + j)) (at1 glo (3 * n + j))
         (at1 ghi (3 * n + j))
    && tanh_in (at1 lo j) (at1 hi j) (at1 tlo j) (at1 thi j)) (seq 0 n).
  Definition lstm_stays : bool := forallb (fun j =>
    (at1 lo j <=? 0)%Z && (0 <=? at1 hi j)%Z && (at1 lo (n + j) <=? 0)%Z
    && (0 <=? at1 hi (n + j))%Z
    && (top_product (at1 glo (n + j)) (at1 ghi (n + j)) (at1 hi j)
          + top_product (at1 glo j) (at1 ghi j) (at1 ghi (2 * n + j)) <=? at1 hi j * one)%Z
    && (at1 lo j * one <=? low_product (at1 glo (n + j)) (at1 ghi (n + j)) (at1 lo j)
          + low_product (at1 glo j) (at1 ghi j) (at1 glo (2 * n + j)))%Z
    && (top_product (at1 glo (3 * n + j)) (at1 ghi (3 * n + j)) (at1 thi j)
          <=? at1 hi (n + j) * one)%Z
    && (at1 lo (n + j) * one
          <=? low_product (at1 glo (3 * n + j)) (at1 ghi (3 * n + j)) (at1 tlo j))%Z) (seq 0 n).

  (* the coefficients of |h_j - g_j| and of the differences of the gates' arguments *)
  Definition lstm_cell_row (j : nat) : list Z :=
    [at1 ghi (n + j);
     ceil_product (bump (at1 glo j) (at1 ghi j)) (largest_of (at1 glo (2 * n + j)) (at1 ghi (2 * n + j)));
     ceil_product (bump (at1 glo (n + j)) (at1 ghi (n + j))) (largest_of (at1 lo j) (at1 hi j));
     ceil_product (at1 ghi j) (bump_tanh (at1 glo (2 * n + j)) (at1 ghi (2 * n + j))); 0%Z].
  Definition lstm_output_row (j : nat) : list Z :=
    let p := ceil_product (at1 ghi (3 * n + j)) (bump_tanh (at1 tlo j) (at1 thi j)) in
    map (ceil_product p) (firstn 4 (lstm_cell_row j))
    ++ [ceil_product (bump (at1 glo (3 * n + j)) (at1 ghi (3 * n + j)))
          (largest_of (at1 tlo j) (at1 thi j))].
  Definition lstm_terms : nat -> nat -> nat -> Z :=
    let table := map lstm_cell_row (seq 0 n) ++ map lstm_output_row (seq 0 n) in
    fun _ i k => at2 table i k.
  Definition lstm_source (k : nat) : nat := match k with O => O | _ => 1%nat end.

  Hypothesis Hscale : (0 <? scale)%Z = true.
  Hypothesis Hreaches : lstm_reaches = true.
  Hypothesis Hgates : lstm_gates = true.
  Hypothesis Hstays : lstm_stays = true.

  Definition lstm_inside : vec -> Prop := in_box lo hi (n + n).
  Definition lstm_allowed : vec -> Prop := in_box ulo uhi (4 * n).

  Lemma drawn_within h u r : lstm_inside h -> lstm_allowed u -> (r < 4 * n)%nat ->
    within2 (at1 alo r) (at1 ahi r) (drawn r h u).
  Proof.
    intros Hh Hu Hr. pose proof (forallb_seq _ _ Hreaches r Hr) as H. cbv beta in H.
    apply andb_prop in H as [H0 H1]. apply Z.leb_le in H0, H1. apply IZR_le in H0, H1.
    rewrite plus_IZR, !mult_IZR in H0, H1. apply Z.ltb_lt in Hscale.
    assert (Hs : 0 < IZR scale) by (apply (IZR_lt 0); exact Hscale).
    assert (outputs : forall j, (j < n)%nat ->
      within2 (at1 lo (n + j)) (at1 hi (n + j)) (h (n + j)%nat)) by (intros j Hj; apply Hh; lia).
    pose proof (least_is (at2 W r) _ _ n (fun j => h (n + j)%nat) outputs) as L.
    pose proof (most_is (at2 W r) _ _ n (fun j => h (n + j)%nat) outputs) as M.
    destruct (Hu r Hr) as [U0 U1]. fold (at1 ulo r) in U0. fold (at1 uhi r) in U1.
    assert (E : sum (fun j => IZR (at2 W r j) / IZR scale * h (n + j)%nat) n * IZR scale
      = sum (fun j => IZR (at2 W r j) * h (n + j)%nat) n).
    { rewrite Rmult_comm, <- sum_scale. apply sum_ext. intros j _. field. lra. }
    unfold within2, between, drawn.
    set (x := sum (fun j => IZR (at2 W r j) / IZR scale * h (n + j)%nat) n) in *.
    cbv beta in L, M. rewrite <- E in L, M.
    split; apply (Rmult_le_reg_r (IZR scale)); try exact Hs; nra.
  Qed.

  Lemma gate_values h u j : lstm_inside h -> lstm_allowed u -> (j < n)%nat ->
    (within2 (at1 glo j) (at1 ghi j) (logistic (drawn j h u)) /\ 0 <= IZR (at1 glo j)) /\
    (within2 (at1 glo (n + j)) (at1 ghi (n + j)) (logistic (drawn (n + j) h u))
      /\ 0 <= IZR (at1 glo (n + j))) /\
    within2 (at1 glo (2 * n + j)) (at1 ghi (2 * n + j)) (tanh (drawn (2 * n + j) h u)) /\
    (within2 (at1 glo (3 * n + j)) (at1 ghi (3 * n + j)) (logistic (drawn (3 * n + j) h u))
      /\ 0 <= IZR (at1 glo (3 * n + j))).
  Proof.
    intros Hh Hu Hj. pose proof (forallb_seq _ _ Hgates j Hj) as H. cbv beta in H.
    repeat rewrite andb_true_iff in H. destruct H as ((((Hi & Hf) & Hg) & Ho) & _).
    exact (conj (logistic_in_is _ _ _ _ _ Hi (drawn_within h u j Hh Hu ltac:(lia)))
      (conj (logistic_in_is _ _ _ _ _ Hf (drawn_within h u (n + j) Hh Hu ltac:(lia)))
      (conj (tanh_in_is _ _ _ _ _ Hg (drawn_within h u (2 * n + j) Hh Hu ltac:(lia)))
        (logistic_in_is _ _ _ _ _ Ho (drawn_within h u (3 * n + j) Hh Hu ltac:(lia)))))).
  Qed.

  Lemma cell_within h u j : lstm_inside h -> lstm_allowed u -> (j < n)%nat ->
    within2 (at1 lo j) (at1 hi j) (cell h u j) /\
    within2 (at1 tlo j) (at1 thi j) (tanh (cell h u j)).
  Proof.
    intros Hh Hu Hj. destruct (gate_values h u j Hh Hu Hj) as ((Vi & Pi) & (Vf & Pf) & Vg & Vo & Po).
    pose proof (forallb_seq _ _ Hstays j Hj) as H. cbv beta in H.
    repeat rewrite andb_true_iff in H. destruct H as ((((_ & Hup) & Hlow) & _) & _).
    assert (C : within2 (at1 lo j) (at1 hi j) (cell h u j)).
    { assert (Hc : within2 (at1 lo j) (at1 hi j) (h j)) by (apply Hh; lia).
      pose proof (top_product_is _ _ _ _ _ _ Pf Vf Hc). pose proof (low_product_is _ _ _ _ _ _ Pf Vf Hc).
      pose proof (top_product_is _ _ _ _ _ _ Pi Vi Vg). pose proof (low_product_is _ _ _ _ _ _ Pi Vi Vg).
      apply Z.leb_le in Hup, Hlow. apply IZR_le in Hup, Hlow.
      rewrite plus_IZR, mult_IZR in Hup, Hlow. pose proof one_positive.
      unfold within2, between, cell.
      split; apply (Rmult_le_reg_r (IZR one)); try assumption; lra. }
    split; [exact C|]. pose proof (forallb_seq _ _ Hgates j Hj) as G. cbv beta in G.
    apply andb_prop in G as [_ G]. exact (tanh_in_is _ _ _ _ _ G C).
  Qed.

  Theorem lstm_kept h u : lstm_inside h -> lstm_allowed u -> lstm_inside (lstm h u).
  Proof.
    intros Hh Hu i Hi. unfold lstm. destruct (Nat.ltb_spec i n) as [Hn|Hn].
    - apply (cell_within h u i Hh Hu Hn).
    - set (j := (i - n)%nat). assert (Hj : (j < n)%nat) by (unfold j; lia).
      replace i with (n + j)%nat by (unfold j; lia).
      destruct (gate_values h u j Hh Hu Hj) as (_ & _ & _ & Vo & Po).
      destruct (cell_within h u j Hh Hu Hj) as [_ Vt].
      pose proof (forallb_seq _ _ Hstays j Hj) as H. cbv beta in H.
      repeat rewrite andb_true_iff in H. destruct H as ((_ & Hup) & Hlow).
      pose proof (top_product_is _ _ _ _ _ _ Po Vo Vt). pose proof (low_product_is _ _ _ _ _ _ Po Vo Vt).
      apply Z.leb_le in Hup, Hlow. apply IZR_le in Hup, Hlow. rewrite mult_IZR in Hup, Hlow.
      pose proof one_positive. fold (at1 lo (n + j)) (at1 hi (n + j)).
      split; apply (Rmult_le_reg_r (IZR one)); try assumption; lra.
  Qed.
  Lemma lstm_starts : lstm_inside zero.
  Proof.
    intros i Hi. assert (ends : (at1 lo i <= 0 <= at1 hi i)%Z).
    { destruct (Nat.lt_ge_cases i n) as [H|H].
      - pose proof (forallb_seq _ _ Hstays i H) as E. cbv beta in E.
        repeat rewrite andb_true_iff in E. destruct E as (((((((E0 & E1) & _) & _) & _) & _) & _) & _).
        apply Z.leb_le in E0, E1. lia.
      - pose proof (forallb_seq _ _ Hstays (i - n) ltac:(lia)) as E. cbv beta in E.
        repeat rewrite andb_true_iff in E. destruct E as (((((((_ & _) & E0) & E1) & _) & _) & _) & _).
        replace (n + (i - n))%nat with i in E0, E1 by lia. apply Z.leb_le in E0, E1. lia. }
    unfold within2, between, zero. fold (at1 lo i) (at1 hi i). rewrite Rmult_0_l.
    split; [apply (IZR_le _ 0) | apply (IZR_le 0)]; lia.
  Qed.

  (* the signals of two states *)
  Lemma unit_signal (x : vec) j : (j < n)%nat ->
    signal n lstm_source (stack_rows n W scale) scale 0 j x = x j.
  Proof. intros Hj. now rewrite own_signal. Qed.
  Lemma gate_signal h g u k j : (j < n)%nat ->
    signal n lstm_source (stack_rows n W scale) scale (S k) j (away h g)
    = drawn (k * n + j) h u - drawn (k * n + j) g u.
  Proof.
    intros Hj. rewrite (seen_signal n lstm_source W scale h g k j Hscale). unfold drawn.
    cbn [lstm_source]. rewrite Nat.mul_1_l. ring.
  Qed.

  Lemma table_row s i k : (i < n + n)%nat -> lstm_terms s i k
    = nth k (if (i <? n)%nat then lstm_cell_row i else lstm_output_row (i - n)) 0%Z.
  Proof.
    intros Hi. unfold lstm_terms, at2. cbv zeta. f_equal.
    destruct (Nat.ltb_spec i n) as [H|H].
    - rewrite app_nth1 by (rewrite map_length, seq_length; exact H). now apply nth_map_seq.
    - rewrite app_nth2; rewrite map_length, seq_length; [|exact H]. apply nth_map_seq. lia.
  Qed.

  Lemma cell_apart h g u j : lstm_inside h -> lstm_inside g -> lstm_allowed u -> (j < n)%nat ->
    Rabs (cell h u j - cell g u j) <= sum (fun k => IZR (nth k (lstm_cell_row j) 0%Z) / IZR one
      * Rabs (signal n lstm_source (stack_rows n W scale) scale k j (away h g))) 4 /\
    forall k, (k < 4)%nat -> 0 <= IZR (nth k (lstm_cell_row j) 0%Z) / IZR one.
  Proof.
    intros Hh Hg Hu Hj. pose proof one_positive as Ho.
    destruct (gate_values h u j Hh Hu Hj) as ((Vi & Pi) & (Vf & Pf) & Vg & _).
    destruct (gate_values g u j Hg Hu Hj) as ((Vi' & _) & (Vf' & _) & Vg' & _).
    assert (Hc' : within2 (at1 lo j) (at1 hi j) (g j)) by (apply Hg; lia).
    assert (nonneg : forall a b x, 0 <= IZR a -> within2 a b x -> 0 <= x /\
      0 <= Rabs x <= IZR b / IZR one).
    { intros a b x Ha [A0 A1]. assert (Hx : 0 <= x).
      { apply (Rmult_le_reg_r (IZR one)); [exact Ho|]. lra. }
      split; [exact Hx|]. rewrite Rabs_right by lra. split; [exact Hx|].
      apply (Rmult_le_reg_r (IZR one)); [exact Ho|].
      unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra. exact A1. }
    assert (slopes : forall l v x, 0 <= x -> within2 l v x -> x <= 1 ->
      0 <= x * (1 - x) <= IZR (bump l v) / IZR one).
    { intros l v x Hx Hl H1. split; [nra | now apply bump_is]. }
    pose proof (logistic_on _ _ _ _ Vi Vi') as Si. pose proof (logistic_on _ _ _ _ Vf Vf') as Sf.
    pose proof (tanh_on _ _ _ _ Vg Vg') as Sg.
    pose proof (logistic_range (drawn j h u)) as Ri.
    pose proof (logistic_range (drawn (n + j) h u)) as Rf.
    destruct (nonneg _ _ _ Pi Vi) as [_ Bi]. destruct (nonneg _ _ _ Pf Vf) as [_ Bf].
    pose proof (largest_of_is _ _ _ Vg') as Bg. pose proof (largest_of_is _ _ _ Hc') as Bc.
    assert (Bsi : 0 <= IZR (bump (at1 glo j) (at1 ghi j)) / IZR one).
    { eapply Rle_trans; [|apply (slopes _ _ (logistic (drawn j h u)))]; try lra; [nra | exact Vi]. }
    assert (Bsf : 0 <= IZR (bump (at1 glo (n + j)) (at1 ghi (n + j))) / IZR one).
    { eapply Rle_trans; [|apply (slopes _ _ (logistic (drawn (n + j) h u)))]; try lra;
        [nra | exact Vf]. }
    assert (Bsg : 0 <= IZR (bump_tanh (at1 glo (2 * n + j)) (at1 ghi (2 * n + j))) / IZR one).
    { eapply Rle_trans; [|apply (bump_tanh_is _ _ _ Vg)].
      pose proof (logistic_range (2 * drawn (2 * n + j) h u)). rewrite tanh_logistic. nra. }
    (* the products, rounded up *)
    pose proof (ceil_product_is _ _ _ _ (conj Bsi (Rle_refl _)) Bg) as C1.
    pose proof (ceil_product_is _ _ _ _ (conj Bsf (Rle_refl _)) Bc) as C2.
    pose proof (ceil_product_is _ _ _ _ Bi (conj Bsg (Rle_refl _))) as C3.
    split.
    - cbn [sum]. unfold lstm_cell_row. cbn [nth]. rewrite unit_signal by exact Hj.
      rewrite !(gate_signal h g u) by exact Hj. replace (0 * n + j)%nat with j by lia.
      replace (1 * n + j)%nat with (n + j)%nat by lia.
      set (di := drawn j h u - drawn j g u) in *.
      set (df := drawn (n + j) h u - drawn (n + j) g u) in *.
      set (dg := drawn (2 * n + j) h u - drawn (2 * n + j) g u) in *.
      unfold cell. replace (logistic (drawn (n + j) h u) * h j
          + logistic (drawn j h u) * tanh (drawn (2 * n + j) h u)
          - (logistic (drawn (n + j) g u) * g j
             + logistic (drawn j g u) * tanh (drawn (2 * n + j) g u)))
        with ((logistic (drawn (n + j) h u) * h j - logistic (drawn (n + j) g u) * g j)
          + (logistic (drawn j h u) * tanh (drawn (2 * n + j) h u)
             - logistic (drawn j g u) * tanh (drawn (2 * n + j) g u))) by ring.
      eapply Rle_trans; [apply Rabs_triang|].
      eapply Rle_trans; [apply Rplus_le_compat;
        [apply (two_products _ _ _ _ _ _ (proj2 Bf) (Rle_refl (Rabs (g j))))
        |apply (two_products _ _ _ _ _ _ (Rle_refl _) (Rle_refl _))]|].
      pose proof (Rabs_pos di) as Di. pose proof (Rabs_pos df) as Df. pose proof (Rabs_pos dg) as Dg.
      (* forget gate, in gate and cell, term by term *)
      assert (T2 : Rabs (g j) * Rabs (logistic (drawn (n + j) h u) - logistic (drawn (n + j) g u))
        <= IZR (ceil_product (bump (at1 glo (n + j)) (at1 ghi (n + j)))
            (largest_of (at1 lo j) (at1 hi j))) / IZR one * Rabs df).
      { eapply Rle_trans; [apply Rmult_le_compat_l; [apply Rabs_pos | exact Sf]|].
        eapply Rle_trans; [|apply Rmult_le_compat_r; [exact Df | apply C2]]. right.
        unfold df. ring. }
      assert (T1 : Rabs (tanh (drawn (2 * n + j) g u))
          * Rabs (logistic (drawn j h u) - logistic (drawn j g u))
        <= IZR (ceil_product (bump (at1 glo j) (at1 ghi j))
            (largest_of (at1 glo (2 * n + j)) (at1 ghi (2 * n + j)))) / IZR one * Rabs di).
      { eapply Rle_trans; [apply Rmult_le_compat_l; [apply Rabs_pos | exact Si]|].
        eapply Rle_trans; [|apply Rmult_le_compat_r; [exact Di | apply C1]]. right.
        unfold di. ring. }
      assert (T3 : Rabs (logistic (drawn j h u))
          * Rabs (tanh (drawn (2 * n + j) h u) - tanh (drawn (2 * n + j) g u))
        <= IZR (ceil_product (at1 ghi j) (bump_tanh (at1 glo (2 * n + j)) (at1 ghi (2 * n + j))))
            / IZR one * Rabs dg).
      { eapply Rle_trans; [apply Rmult_le_compat_l; [apply Rabs_pos | exact Sg]|].
        eapply Rle_trans; [|apply Rmult_le_compat_r; [exact Dg | apply C3]]. right.
        unfold dg. ring. }
      replace (0 * n + j)%nat with j in * by lia. unfold away. lra.
    - intros k Hk. unfold lstm_cell_row.
      destruct k as [|[|[|[|k]]]]; cbn [nth]; try lia; lra.
  Qed.

  Theorem lstm_majorised : majorised n 2 5 1 lstm_source (stack_rows n W scale) lstm_terms scale one lstm
    lstm_inside lstm_allowed.
  Proof.
    intros h g u p j Hh Hg Hu Hp Hj. exists 0%nat. split; [lia|].
    destruct (cell_apart h g u j Hh Hg Hu Hj) as [Hcell Hpos]. pose proof one_positive as Ho.
    assert (Hi : (p * n + j < n + n)%nat) by (destruct p as [|[|p]]; lia).
    rewrite (sum_ext _ (fun k => IZR (nth k (if (p * n + j <? n)%nat then lstm_cell_row (p * n + j)
        else lstm_output_row (p * n + j - n)) 0%Z) / IZR one
      * Rabs (signal n lstm_source (stack_rows n W scale) scale k j (away h g))))
      by (intros k _; now rewrite table_row).
    unfold lstm. destruct p as [|[|p]]; [| |lia].
    - cbn [Nat.mul Nat.add]. rewrite (proj2 (Nat.ltb_lt j n) Hj).
      eapply Rle_trans; [exact Hcell|]. cbn [sum]. unfold lstm_cell_row at 9. cbn [nth].
      match goal with |- ?l <= ?r => replace r with l; [lra|] end. unfold Rdiv. ring.
    - replace (1 * n + j)%nat with (n + j)%nat by lia.
      rewrite (proj2 (Nat.ltb_ge (n + j) n)) by lia. replace (n + j - n)%nat with j by lia.
      destruct (gate_values h u j Hh Hu Hj) as (_ & _ & _ & Vo & Po).
      destruct (gate_values g u j Hg Hu Hj) as (_ & _ & _ & Vo' & _).
      destruct (cell_within h u j Hh Hu Hj) as [_ Vt].
      destruct (cell_within g u j Hg Hu Hj) as [_ Vt'].
      pose proof (tanh_on _ _ _ _ Vt Vt') as St. pose proof (logistic_on _ _ _ _ Vo Vo') as So.
      pose proof (largest_of_is _ _ _ Vt') as Bt.
      pose proof (logistic_range (drawn (3 * n + j) h u)) as Ro.
      assert (Bo : 0 <= logistic (drawn (3 * n + j) h u) <= IZR (at1 ghi (3 * n + j)) / IZR one).
      { split; [lra|]. apply (Rmult_le_reg_r (IZR one)); [exact Ho|].
        unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra. apply Vo. }
      assert (Bst : 0 <= IZR (bump_tanh (at1 tlo j) (at1 thi j)) / IZR one).
      { eapply Rle_trans; [|apply (bump_tanh_is _ _ _ Vt)].
        pose proof (logistic_range (2 * cell h u j)). rewrite tanh_logistic. nra. }
      assert (Bso : 0 <= IZR (bump (at1 glo (3 * n + j)) (at1 ghi (3 * n + j))) / IZR one).
      { eapply Rle_trans; [|apply (bump_is _ _ _ Vo)]. nra. }
      pose proof (ceil_product_is _ _ _ _ Bo (conj Bst (Rle_refl _))) as Cp.
      pose proof (ceil_product_is _ _ _ _ (conj Bso (Rle_refl _)) Bt) as Cq.
      set (p := ceil_product (at1 ghi (3 * n + j)) (bump_tanh (at1 tlo j) (at1 thi j))) in *.
      eapply Rle_trans; [apply (two_products _ _ _ _ _ _ (Rle_refl _) (Rle_refl _))|].
      change (sum ?f 5) with (sum f 4 + f 4%nat). apply Rplus_le_compat.
      + apply Rle_trans with (IZR p / IZR one * sum (fun k => IZR (nth k (lstm_cell_row j) 0%Z)
          / IZR one * Rabs (signal n lstm_source (stack_rows n W scale) scale k j (away h g))) 4).
        * apply Rle_trans with (Rabs (logistic (drawn (3 * n + j) h u))
            * (IZR (bump_tanh (at1 tlo j) (at1 thi j)) / IZR one
               * Rabs (cell h u j - cell g u j))).
          { apply Rmult_le_compat_l; [apply Rabs_pos | exact St]. }
          rewrite (Rabs_right (logistic _)) by lra. rewrite <- Rmult_assoc.
          apply Rmult_le_compat; [lra | apply Rabs_pos | lra | exact Hcell].
        * rewrite <- sum_scale. apply sum_le. intros k Hk. rewrite <- Rmult_assoc.
          apply Rmult_le_compat_r; [apply Rabs_pos|].
          pose proof (Hpos k Hk) as Hk0.
          destruct (ceil_product_is p (nth k (lstm_cell_row j) 0%Z) (IZR p / IZR one)
            (IZR (nth k (lstm_cell_row j) 0%Z) / IZR one)) as [_ Hc]; [lra | lra |].
          eapply Rle_trans; [exact Hc|]. right. f_equal. f_equal.
          unfold lstm_output_row. fold p. unfold lstm_cell_row.
          destruct k as [|[|[|[|k]]]]; [reflexivity..|lia].
      + change (signal n lstm_source (stack_rows n W scale) scale 4 j (away h g))
          with (signal n lstm_source (stack_rows n W scale) scale (S 3) j (away h g)).
        rewrite (gate_signal h g u) by exact Hj.
        eapply Rle_trans; [apply Rmult_le_compat_l; [apply Rabs_pos | exact So]|].
        eapply Rle_trans; [|apply Rmult_le_compat_r; [apply Rabs_pos | apply Cq]]. right. ring.
  Qed.
End Lstm.

(* ---- quadratic forms that are not negative, decided on integers *)
Definition form (n : nat) (A : nat -> nat -> R) (x y : vec) : R :=
  sum (fun i => sum (fun j => A i j * x i * y j) n) n.

Fixpoint dot (a b : list Z) : Z :=
  match a, b with x :: a', y :: b' => (x * y + dot a' b')%Z | _, _ => 0%Z end.

Definition at2 (M : list (list Z)) (i j : nat) : Z := nth j (nth i M []) 0%Z.
Lemma nth_map_seq {A} (f : nat -> A) n i d : (i < n)%nat -> nth i (map f (seq 0 n)) d = f i.
Proof.
  intros Hi. rewrite (nth_indep _ d (f 0%nat)) by (rewrite map_length, seq_length; exact Hi).
  rewrite map_nth, seq_nth by exact Hi. reflexivity.
Qed.

(* D N D = c L L^T + R, where no entry of R beside its diagonal exceeds e and n e is below it *)
Definition psd (n : nat) (N : nat -> nat -> Z) (D : list Z) (L : list (list Z)) (c e : Z) : bool :=
  (0 <=? c)%Z && (0 <=? e)%Z && forallb (fun i =>
    let d := nth i D 0%Z in let l := nth i L [] in
    (0 <? d)%Z && (length l <=? n)%nat
    && (Z.of_nat n * e <=? d * d * N i i - c * dot l l)%Z
    && forallb (fun j =>
         Z.abs (d * nth j D 0 * N i j - c * dot l (nth j L [])) <=? e)%Z (seq 0 i)) (seq 0 n).

Lemma sum_zero n : sum (fun _ => 0) n = 0.
Proof. induction n as [|n IH]; simpl; [reflexivity|]. rewrite IH. ring. Qed.
Lemma sum_one a i n : (i < n)%nat -> sum (fun j => if (j =? i)%nat then a else 0) n = a.
Proof.
  intros Hi. induction n as [|n IH]; [lia|]. simpl. destruct (Nat.eqb_spec n i) as [->|E].
  - rewrite (sum_ext _ (fun _ => 0)); [rewrite sum_zero; ring|].
    intros j Hj. destruct (Nat.eqb_spec j i); [lia | reflexivity].
  - rewrite IH by lia. ring.
Qed.
Lemma sum_constant a n : sum (fun _ => a) n = INR n * a.
Proof. induction n as [|n IH]; [simpl; ring|]. cbn [sum]. rewrite IH, S_INR. ring. Qed.
Lemma sum_pos f n : (forall i, (i < n)%nat -> 0 <= f i) -> 0 <= sum f n.
Proof. intros H. rewrite <- (sum_zero n). now apply sum_le. Qed.
Lemma sum_square f n : sum f n * sum f n = sum (fun i => sum (fun j => f i * f j) n) n.
Proof.
  rewrite <- sum_scale. apply sum_ext. intros i _. rewrite sum_scale. ring.
Qed.

Lemma dot_is a b n : (length a <= n)%nat ->
  IZR (dot a b) = sum (fun k => IZR (nth k a 0%Z) * IZR (nth k b 0%Z)) n.
Proof.
  revert b n. induction a as [|x a IH]; intros b n H.
  - cbn [dot]. rewrite (sum_ext _ (fun _ => 0)); [now rewrite sum_zero|].
    intros [|k] _; cbn [nth]; ring.
  - destruct n as [|n]; [simpl in H; lia|]. destruct b as [|y b].
    + cbn [dot]. rewrite (sum_ext _ (fun _ => 0)); [now rewrite sum_zero|].
      intros [|k] _; cbn [nth]; ring.
    + cbn [dot]. rewrite sum_first, plus_IZR, mult_IZR, (IH b n) by (simpl in H; lia). reflexivity.
Qed.

Lemma psd_is n N D L c e : psd n N D L c e = true ->
  (forall i j, (i < n)%nat -> (j < n)%nat -> N i j = N j i) -> forall x,
  0 <= form n (fun i j => IZR (N i j)) x x.
Proof.
  unfold psd. intros H sym x. apply andb_prop in H as [H rows]. apply andb_prop in H as [Hc He].
  apply Z.leb_le, IZR_le in Hc, He. rewrite forallb_forall in rows.
  assert (row : forall i, (i < n)%nat -> 0 < IZR (nth i D 0%Z) /\ (length (nth i L []) <= n)%nat /\
    INR n * IZR e <= IZR (nth i D 0%Z) * IZR (nth i D 0%Z) * IZR (N i i)
      - IZR c * IZR (dot (nth i L []) (nth i L [])) /\
    forall j, (j < i)%nat -> Rabs (IZR (nth i D 0%Z) * IZR (nth j D 0%Z) * IZR (N i j)
      - IZR c * IZR (dot (nth i L []) (nth j L []))) <= IZR e).
  { intros i Hi. specialize (rows i ltac:(apply in_seq; lia)). cbv zeta in rows.
    apply andb_prop in rows as [rows off]. apply andb_prop in rows as [rows diagonal].
    apply andb_prop in rows as [Hd Hl]. apply Z.ltb_lt, IZR_lt in Hd. apply Nat.leb_le in Hl.
    apply Z.leb_le, IZR_le in diagonal. rewrite INR_IZR_INZ.
    rewrite minus_IZR, !mult_IZR in diagonal. repeat split; try assumption.
    intros j Hj. rewrite forallb_forall in off. specialize (off j ltac:(apply in_seq; lia)).
    apply Z.leb_le, IZR_le in off. rewrite abs_IZR, minus_IZR, !mult_IZR in off. exact off. }
  set (l i k := IZR (nth k (nth i L []) 0%Z)). set (y i := x i / IZR (nth i D 0%Z)).
  set (S := sum (fun i => y i * y i) n).
  assert (dots : forall i j, (i < n)%nat ->
    IZR (dot (nth i L []) (nth j L [])) = sum (fun k => l i k * l j k) n).
  { intros i j Hi. destruct (row i Hi) as (_ & Hl & _). now apply dot_is. }
  set (r i j := IZR (nth i D 0%Z) * IZR (nth j D 0%Z) * IZR (N i j)
    - IZR c * sum (fun k => l i k * l j k) n).
  assert (rsym : forall i j, (i < n)%nat -> (j < n)%nat -> r i j = r j i).
  { intros i j Hi Hj. unfold r. rewrite (sym i j Hi Hj). rewrite (sum_ext (fun k => l i k * l j k)
      (fun k => l j k * l i k)) by (intros; ring). ring. }
  (* entry by entry *)
  assert (below : forall i j, (i < n)%nat -> (j < n)%nat ->
    IZR c * sum (fun k => (y i * l i k) * (y j * l j k)) n
    + ((if (j =? i)%nat then INR n * IZR e * (y i * y i) else 0)
       + - (IZR e / 2) * (y i * y i + y j * y j))
    <= IZR (N i j) * x i * x j).
  { intros i j Hi Hj. destruct (row i Hi) as (Di & _ & diagonal & off).
    destruct (row j Hj) as (Dj & _ & _ & off').
    assert (entry : IZR (N i j) * x i * x j
      = IZR c * sum (fun k => (y i * l i k) * (y j * l j k)) n + r i j * (y i * y j)).
    { rewrite (sum_ext (fun k => y i * l i k * (y j * l j k))
        (fun k => (y i * y j) * (l i k * l j k))) by (intros; ring).
      rewrite sum_scale. unfold r, y. field. lra. }
    rewrite entry. apply Rplus_le_compat_l. destruct (Nat.eqb_spec j i) as [->|E].
    - rewrite (dots i i Hi) in diagonal. fold (r i i) in diagonal.
      pose proof (Rle_0_sqr (y i)) as Hy. unfold Rsqr in Hy.
      apply (Rmult_le_compat_r (y i * y i)) in diagonal; [|exact Hy]. nra.
    - assert (small : Rabs (r i j) <= IZR e).
      { destruct (Nat.lt_trichotomy i j) as [Hlt|[Heq|Hlt]]; [|lia|].
        - rewrite rsym by assumption. specialize (off' i Hlt). rewrite (dots j i Hj) in off'. exact off'.
        - specialize (off j Hlt). rewrite (dots i j Hi) in off. exact off. }
      assert (Rabs (r i j * (y i * y j)) <= IZR e * Rabs (y i * y j)).
      { rewrite Rabs_mult. apply Rmult_le_compat_r; [apply Rabs_pos | exact small]. }
      pose proof (Rle_abs (- (r i j * (y i * y j)))) as Hn. rewrite Rabs_Ropp in Hn.
      assert (Rabs (y i * y j) <= (y i * y i + y j * y j) / 2).
      { pose proof (Rle_0_sqr (y i - y j)). pose proof (Rle_0_sqr (y i + y j)). unfold Rsqr in *.
        apply Rabs_le. lra. }
      assert (IZR e * Rabs (y i * y j) <= IZR e * ((y i * y i + y j * y j) / 2))
        by (now apply Rmult_le_compat_l). lra. }
  unfold form. eapply Rle_trans; [|apply sum_le; intros i Hi; apply sum_le; intros j Hj;
    apply (below i j Hi Hj)].
  rewrite (sum_ext _ (fun i => IZR c * sum (fun j => sum (fun k => (y i * l i k) * (y j * l j k)) n)
    n + (INR n * IZR e * (y i * y i) + - (IZR e / 2) * (INR n * (y i * y i) + S)))).
  - rewrite sum_plus, sum_scale, sum_plus, !sum_scale, sum_plus, sum_scale, sum_constant. fold S.
    assert (squares : 0 <= sum (fun i => sum (fun j => sum (fun k => y i * l i k * (y j * l j k)) n)
      n) n).
    { rewrite (sum_ext _ (fun i => sum (fun k => sum (fun j => y i * l i k * (y j * l j k)) n) n))
        by (intros; apply sum_exchange).
      rewrite sum_exchange. apply sum_pos. intros k _. rewrite <- sum_square. apply Rle_0_sqr. }
    assert (0 <= IZR c * sum (fun i => sum (fun j => sum (fun k => y i * l i k * (y j * l j k)) n) n)
      n) by (now apply Rmult_le_pos). lra.
  - intros i Hi. rewrite !sum_plus, !sum_scale, sum_one by exact Hi.
    rewrite sum_plus, sum_constant. reflexivity.
Qed.

(* ---- the length of a form, and its triangle inequality *)
Definition away (h g : vec) : vec := fun i => h i - g i.
Lemma form_left n A a b c : form n A (away a b) c = form n A a c - form n A b c.
Proof.
  unfold form. rewrite (sum_ext _ (fun i => sum (fun j => A i j * a i * c j) n
    + -1 * sum (fun j => A i j * b i * c j) n)).
  - rewrite sum_plus, sum_scale. ring.
  - intros i _. rewrite <- sum_scale, <- sum_plus. apply sum_ext. intros j _. unfold away. ring.
Qed.
Lemma form_scale n A s a b : form n A (fun i => s * a i) b = s * form n A a b.
Proof.
  unfold form. rewrite <- sum_scale. apply sum_ext. intros i _. rewrite <- sum_scale.
  apply sum_ext. intros j _. ring.
Qed.
Lemma form_flip n A a b : (forall i j, A i j = A j i) -> form n A a b = form n A b a.
Proof.
  intros sym. unfold form. rewrite sum_exchange. apply sum_ext. intros j _. apply sum_ext.
  intros i _. rewrite sym. ring.
Qed.

Section Length.
  Variables (n : nat) (A : nat -> nat -> R).
  Hypothesis sym : forall i j, A i j = A j i.
  Hypothesis positive : forall x, 0 <= form n A x x.

  Definition far (h g : vec) : R := sqrt (form n A (away h g) (away h g)).

  Lemma far_same a : far a a = 0.
  Proof.
    unfold far. replace (form n A (away a a) (away a a)) with 0; [apply sqrt_0|].
    unfold form. rewrite (sum_ext _ (fun _ => 0)); [now rewrite sum_zero|].
    intros i _. rewrite (sum_ext _ (fun _ => 0)); [now rewrite sum_zero|].
    intros j _. unfold away. ring.
  Qed.
  Lemma cauchy_schwarz x y : form n A x y <= sqrt (form n A x x) * sqrt (form n A y y).
  Proof.
    set (a := form n A x x). set (b := form n A x y). set (c := form n A y y).
    assert (Ha : 0 <= a) by apply positive. assert (Hc : 0 <= c) by apply positive.
    assert (quadratic : forall s, 0 <= a - 2 * s * b + s * s * c).
    { intros s. pose proof (positive (away x (fun i => s * y i))) as H.
      rewrite form_left, form_scale, (form_flip n A x), (form_flip n A y) in H by exact sym.
      rewrite !form_left, !form_scale, (form_flip n A y x) in H by exact sym.
      fold a b c in H. lra. }
    assert (square : b * b <= a * c).
    { destruct (Req_dec c 0) as [Hz|Hz].
      - destruct (Req_dec b 0) as [Hb|Hb]; [nra|].
        specialize (quadratic ((a + 1) / (2 * b))). rewrite Hz in quadratic.
        replace (2 * ((a + 1) / (2 * b)) * b) with (a + 1) in quadratic by (field; exact Hb). lra.
      - specialize (quadratic (b / c)).
        replace (a - 2 * (b / c) * b + b / c * (b / c) * c) with ((a * c - b * b) / c) in quadratic
          by (field; exact Hz).
        apply (Rmult_le_compat_r c) in quadratic; [|exact Hc].
        unfold Rdiv in quadratic. rewrite Rmult_assoc, Rinv_l in quadratic by exact Hz. lra. }
    rewrite <- sqrt_mult by assumption. eapply Rle_trans; [apply Rle_abs|].
    rewrite <- sqrt_Rsqr_abs. now apply sqrt_le_1_alt.
  Qed.
  Lemma far_triangle a b c : far a c <= far a b + far b c.
  Proof.
    unfold far. set (x := away a b). set (y := away b c).
    assert (split : form n A (away a c) (away a c)
      = form n A x x + 2 * form n A x y + form n A y y).
    { replace (form n A (away a c) (away a c)) with
        (form n A (away x (fun i => -1 * y i)) (away x (fun i => -1 * y i))).
      - rewrite form_left, form_scale, (form_flip n A x (away _ _)) by exact sym.
        rewrite (form_flip n A y (away _ _)), !form_left, !form_scale, (form_flip n A y x)
          by exact sym. ring.
      - unfold form. apply sum_ext. intros i _. apply sum_ext. intros j _.
        unfold x, y, away. ring. }
    pose proof (cauchy_schwarz x y) as H. pose proof (sqrt_pos (form n A x x)) as Hx.
    pose proof (sqrt_pos (form n A y y)) as Hy.
    rewrite <- (sqrt_Rsqr (sqrt (form n A x x) + sqrt (form n A y y))) by lra.
    apply sqrt_le_1_alt. unfold Rsqr. rewrite split.
    pose proof (sqrt_sqrt _ (positive x)). pose proof (sqrt_sqrt _ (positive y)). nra.
  Qed.
End Length.

(* P, of which only the entries below the diagonal are read, exceeds mu > 0 *)
Definition lower (P : list (list Z)) (i j : nat) : Z :=
  if (j <=? i)%nat then nth j (nth i P []) 0%Z else nth i (nth j P []) 0%Z.
Lemma lower_sym P i j : lower P i j = lower P j i.
Proof.
  unfold lower. destruct (Nat.leb_spec j i), (Nat.leb_spec i j); try lia; [|reflexivity..].
  now replace i with j by lia.
Qed.
Definition gram (P : list (list Z)) (scale : Z) (i j : nat) : R := IZR (lower P i j) / IZR scale.
Definition above (P : list (list Z)) (mu : Z) (i j : nat) : Z :=
  (lower P i j - if (j =? i)%nat then mu else 0)%Z.

Lemma above_sym P mu i j : above P mu i j = above P mu j i.
Proof. unfold above. rewrite lower_sym, (Nat.eqb_sym i j). reflexivity. Qed.
Lemma above_is n P mu scale D L c e : psd n (above P mu) D L c e = true -> (0 < scale)%Z ->
  forall x, IZR mu / IZR scale * sum (fun i => x i * x i) n <= form n (gram P scale) x x.
Proof.
  intros H Hs x. pose proof (psd_is _ _ _ _ _ _ H (fun i j _ _ => above_sym P mu i j) x) as Hx. apply IZR_lt in Hs.
  rewrite <- sum_scale. apply Rminus_le. unfold form in *.
  apply (Rmult_le_reg_r (IZR scale)); [exact Hs|]. rewrite Rmult_0_l.
  match goal with |- ?l <= 0 => replace l with (- sum (fun i => sum (fun j =>
    IZR (above P mu i j) * x i * x j) n) n) end; [lra|].
  rewrite (sum_ext (fun i => sum (fun j => IZR (above P mu i j) * x i * x j) n)
    (fun i => IZR scale * sum (fun j => gram P scale i j * x i * x j) n
      + - IZR scale * (IZR mu / IZR scale * (x i * x i)))).
  - rewrite sum_plus, !sum_scale. ring.
  - intros i Hi. replace (- IZR scale * (IZR mu / IZR scale * (x i * x i)))
      with (- IZR mu * (x i * x i)) by (field; lra).
    rewrite <- (sum_one (- IZR mu * (x i * x i)) i n Hi), <- sum_scale, <- sum_plus.
    apply sum_ext. intros j _. unfold above, gram. rewrite minus_IZR.
    destruct (Nat.eqb_spec j i) as [->|E]; field; lra.
Qed.
Lemma above_pos n P mu scale D L c e : psd n (above P mu) D L c e = true -> (0 < scale)%Z ->
  (0 <= mu)%Z -> forall x, 0 <= form n (gram P scale) x x.
Proof.
  intros H Hs Hmu x. eapply Rle_trans; [|apply (above_is _ _ _ _ _ _ _ _ H Hs)].
  apply IZR_lt in Hs. apply IZR_le in Hmu. apply Rmult_le_pos.
  - apply Rmult_le_pos; [exact Hmu | left; now apply Rinv_0_lt_compat].
  - apply sum_pos. intros i _. apply Rle_0_sqr.
Qed.

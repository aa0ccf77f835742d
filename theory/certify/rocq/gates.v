(* ---- enclosures of the logistic function and tanh, on multiples of 2^-40 *)
Definition one : Z := (2 ^ 40)%Z.
Lemma one_positive : 0 < IZR one.
Proof. apply IZR_lt. reflexivity. Qed.

Definition point : Z := (2 ^ 90)%Z.

(* exp(x) >= (1 + x / 2^40)^(2^40), squared 40 times with 90 bits after the point, rounded down *)
Fixpoint squares (m : nat) (u : Z) : Z :=
  match m with O => u | S m' => squares m' (Z.shiftr (u * u) 90) end.
Definition begun (a : Z) : Z := (point + a * 2 ^ 10)%Z.
Definition exp_below (a : Z) : Z := squares 40 (begun a).

Lemma squares_is m u z : (0 <= u)%Z -> IZR u <= exp z * IZR point ->
  (0 <= squares m u)%Z /\ IZR (squares m u) <= exp (z * 2 ^ m) * IZR point.
Proof.
  revert u z. induction m as [|m IH]; intros u z H0 Hu.
  - cbn [squares]. rewrite pow_O, Rmult_1_r. now split.
  - cbn [squares]. replace (z * 2 ^ S m) with ((z + z) * 2 ^ m) by (simpl; ring).
    rewrite Z.shiftr_div_pow2 by discriminate. apply IH.
    + apply Z.div_pos; [apply Z.mul_nonneg_nonneg; assumption | reflexivity].
    + assert (T : 0 < IZR point) by (apply IZR_lt; reflexivity).
      apply (Rmult_le_reg_l (IZR point)); [exact T|].
      apply Rle_trans with (IZR u * IZR u).
      * rewrite <- !mult_IZR. apply IZR_le. apply (Z.mul_div_le (u * u) point). reflexivity.
      * rewrite exp_plus. apply IZR_le in H0.
        replace (IZR point * (exp z * exp z * IZR point))
          with (exp z * IZR point * (exp z * IZR point)) by ring.
        apply Rmult_le_compat; assumption.
Qed.
Lemma exp_below_is a : (0 <= begun a)%Z -> (0 <= exp_below a)%Z /\
  IZR (exp_below a) <= exp (IZR a / IZR one) * IZR point.
Proof.
  intros H. assert (start : IZR (begun a) <= exp (IZR a / (IZR one * 2 ^ 40)) * IZR point).
  { unfold begun. rewrite plus_IZR, mult_IZR.
    assert (T : 0 < IZR point) by (apply IZR_lt; reflexivity).
    assert (P : 0 < 2 ^ 40) by (apply pow_lt; lra).
    apply Rle_trans with ((1 + IZR a / (IZR one * 2 ^ 40)) * IZR point).
    - right. assert (E1 : IZR point = IZR one * IZR one * IZR (2 ^ 10)).
      { rewrite <- !mult_IZR. apply (f_equal IZR). vm_compute. reflexivity. }
      assert (E2 : 2 ^ 40 = IZR one).
      { rewrite (pow_IZR 2 40). apply (f_equal IZR). vm_compute. reflexivity. }
      rewrite E1, E2. pose proof one_positive. field. lra.
    - apply Rmult_le_compat_r; [lra|]. apply exp_ineq1_le. }
  unfold exp_below. destruct (squares_is 40 _ _ H start) as [H0 H1]. split; [exact H0|].
  replace (IZR a / IZR one) with (IZR a / (IZR one * 2 ^ 40) * 2 ^ 40); [exact H1|].
  pose proof one_positive. assert (P : 0 < 2 ^ 40) by (apply pow_lt; lra). field. lra.
Qed.

(* logistic(a / 2^40) <= s / d *)
Definition logistic_above (a s d : Z) : bool :=
  (0 <=? begun (- a))%Z && (d * point <=? s * (point + exp_below (- a)))%Z.
Lemma quotient_above T E d s y : 0 < T -> 0 <= E -> 0 < d -> 0 < y -> E <= y * T ->
  d * T <= s * (T + E) -> / (1 + y) <= s / d.
Proof.
  intros HT HE Hd Hy He H. apply Rle_trans with (T / (T + E)).
  - apply (Rmult_le_reg_l ((1 + y) * (T + E))); [apply Rmult_lt_0_compat; lra|].
    replace ((1 + y) * (T + E) * / (1 + y)) with (T + E) by (field; lra).
    replace ((1 + y) * (T + E) * (T / (T + E))) with (T + y * T) by (field; lra). lra.
  - apply (Rmult_le_reg_l (d * (T + E))); [apply Rmult_lt_0_compat; lra|].
    replace (d * (T + E) * (T / (T + E))) with (d * T) by (field; lra).
    replace (d * (T + E) * (s / d)) with (s * (T + E)) by (field; lra). exact H.
Qed.
Lemma logistic_above_is a s d x : logistic_above a s d = true -> (0 < d)%Z ->
  x * IZR one <= IZR a -> logistic x <= IZR s / IZR d.
Proof.
  unfold logistic_above. intros H Hd Hx. apply andb_prop in H as [H0 H].
  apply Z.leb_le in H0. apply Z.leb_le in H. apply IZR_le in H.
  rewrite !mult_IZR, plus_IZR in H. destruct (exp_below_is _ H0) as [Hp He].
  pose proof one_positive as Ho. apply Rle_trans with (logistic (IZR a / IZR one)).
  - apply logistic_grows. apply (Rmult_le_reg_r (IZR one)); [exact Ho|].
    unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r; lra.
  - replace (IZR (- a) / IZR one) with (- (IZR a / IZR one)) in He
      by (rewrite opp_IZR; field; lra).
    refine (quotient_above _ _ _ _ _ _ _ _ _ He H).
    + apply IZR_lt. reflexivity.
    + apply (IZR_le 0). exact Hp.
    + apply (IZR_lt 0). exact Hd.
    + apply exp_pos.
Qed.
Lemma logistic_opp x : logistic (- x) = 1 - logistic x.
Proof.
  unfold logistic. rewrite Ropp_involutive, exp_Ropp. pose proof (exp_pos x). field. lra.
Qed.

(* an argument between lo and hi has values between glo and ghi, all of them / 2^40 *)
Definition between (lo hi x : R) : Prop := lo <= x * IZR one <= hi.
Definition within2 (lo hi : Z) (x : R) : Prop := between (IZR lo) (IZR hi) x.
Definition logistic_in (lo hi glo ghi : Z) : bool :=
  logistic_above (- lo) (one - glo) one && logistic_above hi ghi one && (0 <=? glo)%Z.
Definition tanh_in (lo hi glo ghi : Z) : bool :=
  logistic_above (- (2 * lo)) (one - glo) (2 * one) && logistic_above (2 * hi) (one + ghi) (2 * one).

Lemma logistic_in_is lo hi glo ghi x : logistic_in lo hi glo ghi = true -> within2 lo hi x ->
  within2 glo ghi (logistic x) /\ 0 <= IZR glo.
Proof.
  unfold logistic_in. intros H [H0 H1]. apply andb_prop in H as [H Hp].
  apply andb_prop in H as [Hl Hu]. pose proof one_positive as Ho.
  apply Z.leb_le, IZR_le in Hp. split; [|exact Hp].
  apply (logistic_above_is _ _ _ (- x)) in Hl; [|reflexivity | rewrite opp_IZR; lra].
  apply (logistic_above_is _ _ _ x) in Hu; [|reflexivity | exact H1].
  rewrite logistic_opp, minus_IZR in Hl.
  apply (Rmult_le_compat_r (IZR one)) in Hl, Hu; try lra.
  unfold Rdiv in Hl, Hu. rewrite Rmult_assoc, Rinv_l, Rmult_1_r in Hl, Hu by lra.
  split; lra.
Qed.
Lemma tanh_in_is lo hi glo ghi x : tanh_in lo hi glo ghi = true -> within2 lo hi x ->
  within2 glo ghi (tanh x).
Proof.
  unfold tanh_in. intros H [H0 H1]. apply andb_prop in H as [Hl Hu].
  pose proof one_positive as Ho.
  apply (logistic_above_is _ _ _ (- (2 * x))) in Hl;
    [|reflexivity | rewrite opp_IZR, mult_IZR; lra].
  apply (logistic_above_is _ _ _ (2 * x)) in Hu; [|reflexivity | rewrite mult_IZR; lra].
  rewrite logistic_opp, minus_IZR, mult_IZR in Hl. rewrite plus_IZR, mult_IZR in Hu.
  rewrite (tanh_logistic x).
  apply (Rmult_le_compat_r (2 * IZR one)) in Hl, Hu; try lra.
  unfold Rdiv in Hl, Hu. rewrite Rmult_assoc, Rinv_l, Rmult_1_r in Hl, Hu by lra.
  split; lra.
Qed.

(* rounded up: a / 2^40 *)
Definition ceil (a : Z) : Z := (- Z.shiftr (- a) 40)%Z.
Lemma ceil_is a : IZR a <= IZR (ceil a) * IZR one.
Proof.
  unfold ceil. rewrite Z.shiftr_div_pow2 by discriminate. rewrite <- mult_IZR. apply IZR_le.
  pose proof (Z.mul_div_le (- a) one ltac:(reflexivity)). fold one. lia.
Qed.
Definition ceil_product (a b : Z) : Z := ceil (a * b).
Lemma ceil_product_is a b x y : 0 <= x <= IZR a / IZR one -> 0 <= y <= IZR b / IZR one ->
  0 <= x * y <= IZR (ceil_product a b) / IZR one.
Proof.
  intros Hx Hy. pose proof one_positive as Ho. split; [apply Rmult_le_pos; lra|].
  pose proof (ceil_is (a * b)) as H. rewrite mult_IZR in H. fold (ceil_product a b) in H.
  apply Rle_trans with (IZR a / IZR one * (IZR b / IZR one)).
  - apply Rmult_le_compat; lra.
  - apply (Rmult_le_reg_r (IZR one * IZR one)); [now apply Rmult_lt_0_compat|].
    replace (IZR a / IZR one * (IZR b / IZR one) * (IZR one * IZR one)) with (IZR a * IZR b)
      by (field; lra).
    replace (IZR (ceil_product a b) / IZR one * (IZR one * IZR one))
      with (IZR (ceil_product a b) * IZR one) by (field; lra). exact H.
Qed.

(* the largest slopes where the values are between l and u: s (1 - s) and 1 - t^2 *)
Definition bump (l u : Z) : Z :=
  ceil (if (2 * u <=? one)%Z then u * (one - u)
        else if (one <=? 2 * l)%Z then l * (one - l) else 2 ^ 78)%Z.
Definition bump_tanh (l u : Z) : Z :=
  ceil (if (u <=? 0)%Z then one * one - u * u
        else if (0 <=? l)%Z then one * one - l * l else one * one)%Z.

Lemma bump_is l u s : within2 l u s -> s * (1 - s) <= IZR (bump l u) / IZR one.
Proof.
  intros [H0 H1]. pose proof one_positive as Ho. unfold bump.
  set (m := if (2 * u <=? one)%Z then _ else _). pose proof (ceil_is m) as Hc.
  apply (Rmult_le_reg_r (IZR one * IZR one)); [now apply Rmult_lt_0_compat|].
  replace (IZR (ceil m) / IZR one * (IZR one * IZR one)) with (IZR (ceil m) * IZR one)
    by (field; lra).
  eapply Rle_trans; [|exact Hc]. replace (s * (1 - s) * (IZR one * IZR one))
    with (s * IZR one * (IZR one - s * IZR one)) by ring.
  set (y := s * IZR one) in *. unfold m.
  destruct (Z.leb_spec (2 * u) one) as [Hu|Hu].
  - apply IZR_le in Hu. rewrite mult_IZR in Hu. rewrite mult_IZR, minus_IZR. nra.
  - destruct (Z.leb_spec one (2 * l)) as [Hl|Hl].
    + apply IZR_le in Hl. rewrite mult_IZR in Hl. rewrite mult_IZR, minus_IZR. nra.
    + replace (IZR (2 ^ 78)) with (IZR one * IZR one / 4).
      * pose proof (pow2_ge_0 (y - IZR one / 2)). nra.
      * rewrite <- mult_IZR. replace (one * one)%Z with (4 * 2 ^ 78)%Z
          by (vm_compute; reflexivity). rewrite mult_IZR. field.
Qed.
Lemma bump_tanh_is l u t : within2 l u t -> 1 - t * t <= IZR (bump_tanh l u) / IZR one.
Proof.
  intros [H0 H1]. pose proof one_positive as Ho. unfold bump_tanh.
  set (m := if (u <=? 0)%Z then _ else _). pose proof (ceil_is m) as Hc.
  apply (Rmult_le_reg_r (IZR one * IZR one)); [now apply Rmult_lt_0_compat|].
  replace (IZR (ceil m) / IZR one * (IZR one * IZR one)) with (IZR (ceil m) * IZR one)
    by (field; lra).
  eapply Rle_trans; [|exact Hc]. replace ((1 - t * t) * (IZR one * IZR one))
    with (IZR one * IZR one - t * IZR one * (t * IZR one)) by ring.
  set (y := t * IZR one) in *. unfold m.
  destruct (Z.leb_spec u 0) as [Hu|Hu].
  - apply IZR_le in Hu. rewrite minus_IZR, !mult_IZR. nra.
  - destruct (Z.leb_spec 0 l) as [Hl|Hl].
    + apply IZR_le in Hl. rewrite minus_IZR, !mult_IZR. nra.
    + rewrite mult_IZR. pose proof (Rle_0_sqr y) as Hy. unfold Rsqr in Hy. lra.
Qed.

Lemma logistic_mean a b : exists c, (Rmin a b <= c <= Rmax a b) /\
  logistic a - logistic b = logistic c * (1 - logistic c) * (a - b).
Proof.
  assert (ordered : forall a b, b < a -> exists c, b <= c <= a /\
    logistic a - logistic b = logistic c * (1 - logistic c) * (a - b)).
  { clear a b. intros a b Hab.
    destruct (MVT_cor2 logistic (fun c => logistic c * (1 - logistic c)) b a Hab
      (fun c _ => logistic_derivative c)) as [c [E Hc]]. exists c. split; [lra | exact E]. }
  destruct (Rtotal_order a b) as [H|[H|H]].
  - destruct (ordered b a H) as [c [Hc E]]. exists c. rewrite Rmin_left, Rmax_right by lra.
    split; [exact Hc | lra].
  - subst. exists b. rewrite Rmin_left, Rmax_left by lra. split; [lra | ring].
  - destruct (ordered a b H) as [c [Hc E]]. exists c. rewrite Rmin_right, Rmax_left by lra.
    split; [exact Hc | exact E].
Qed.
Lemma mean_between l u a b c (f : R -> R) : (forall x y, x <= y -> f x <= f y) ->
  within2 l u (f a) -> within2 l u (f b) -> Rmin a b <= c <= Rmax a b -> within2 l u (f c).
Proof.
  intros Hf [A0 A1] [B0 B1] [C0 C1]. pose proof one_positive as Ho.
  assert (low : f (Rmin a b) <= f c) by now apply Hf.
  assert (high : f c <= f (Rmax a b)) by now apply Hf.
  apply (Rmult_le_compat_r (IZR one)) in low, high; try lra.
  unfold within2, between. destruct (Rle_dec a b) as [H|H].
  - rewrite Rmin_left, Rmax_right in * by lra. lra.
  - rewrite Rmin_right, Rmax_left in * by lra. lra.
Qed.
Lemma logistic_on l u a b : within2 l u (logistic a) -> within2 l u (logistic b) ->
  Rabs (logistic a - logistic b) <= IZR (bump l u) / IZR one * Rabs (a - b).
Proof.
  intros Ha Hb. destruct (logistic_mean a b) as [c [Hc ->]].
  pose proof (bump_is l u _ (mean_between l u a b c logistic logistic_grows Ha Hb Hc)) as H.
  rewrite Rabs_mult. apply Rmult_le_compat_r; [apply Rabs_pos|].
  pose proof (logistic_range c). rewrite Rabs_right; [exact H | nra].
Qed.
Lemma tanh_grows a b : a <= b -> tanh a <= tanh b.
Proof.
  intros H. rewrite !tanh_logistic. pose proof (logistic_grows (2 * a) (2 * b)). lra.
Qed.
Lemma tanh_on l u a b : within2 l u (tanh a) -> within2 l u (tanh b) ->
  Rabs (tanh a - tanh b) <= IZR (bump_tanh l u) / IZR one * Rabs (a - b).
Proof.
  intros Ha Hb. destruct (logistic_mean (2 * a) (2 * b)) as [c [Hc E]].
  assert (half : Rmin a b <= c / 2 <= Rmax a b).
  { destruct (Rle_dec a b) as [H|H].
    - rewrite Rmin_left, Rmax_right in * by lra. lra.
    - rewrite Rmin_right, Rmax_left in * by lra. lra. }
  pose proof (bump_tanh_is l u _ (mean_between l u a b (c / 2) tanh tanh_grows Ha Hb half)) as H.
  rewrite (tanh_logistic (c / 2)) in H. replace (2 * (c / 2)) with c in H by field.
  pose proof (logistic_range c). set (s := logistic c) in *.
  rewrite !tanh_logistic. replace (2 * logistic (2 * a) - 1 - (2 * logistic (2 * b) - 1))
    with (2 * (logistic (2 * a) - logistic (2 * b))) by ring.
  rewrite E. replace (2 * (s * (1 - s) * (2 * a - 2 * b))) with (4 * (s * (1 - s)) * (a - b)) by ring.
  rewrite Rabs_mult. apply Rmult_le_compat_r; [apply Rabs_pos|].
  rewrite Rabs_right by nra. nra.
Qed.

(* sums of products over boxes *)
Definition least (r : nat -> Z) (lo hi : nat -> Z) (n : nat) : Z :=
  sumZ (fun j => if (0 <=? r j)%Z then r j * lo j else r j * hi j)%Z n.
Lemma least_is r lo hi n h : (forall j, (j < n)%nat -> within2 (lo j) (hi j) (h j)) ->
  IZR (least r lo hi n) <= sum (fun j => IZR (r j) * h j) n * IZR one.
Proof.
  intros H. unfold least. rewrite sumZ_is, Rmult_comm, <- sum_scale. apply sum_le. intros j Hj.
  destruct (H j Hj) as [H0 H1]. destruct (Z.leb_spec 0 (r j)) as [Hr|Hr]; rewrite mult_IZR.
  - apply IZR_le in Hr. nra.
  - apply IZR_lt in Hr. nra.
Qed.
Lemma most_is r lo hi n h : (forall j, (j < n)%nat -> within2 (lo j) (hi j) (h j)) ->
  sum (fun j => IZR (r j) * h j) n * IZR one <= IZR (least r hi lo n).
Proof.
  intros H. unfold least. rewrite sumZ_is, Rmult_comm, <- sum_scale. apply sum_le. intros j Hj.
  destruct (H j Hj) as [H0 H1]. destruct (Z.leb_spec 0 (r j)) as [Hr|Hr]; rewrite mult_IZR.
  - apply IZR_le in Hr. nra.
  - apply IZR_lt in Hr. nra.
Qed.
Definition largest_of (l u : Z) : Z := Z.max (Z.abs l) (Z.abs u).
Lemma largest_of_is l u x : within2 l u x -> 0 <= Rabs x <= IZR (largest_of l u) / IZR one.
Proof.
  intros [H0 H1]. pose proof one_positive as Ho. split; [apply Rabs_pos|].
  apply (Rmult_le_reg_r (IZR one)); [exact Ho|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  rewrite <- (Rabs_right (IZR one)) by lra. rewrite <- Rabs_mult.
  assert (A : IZR l >= - IZR (largest_of l u)).
  { rewrite <- opp_IZR. apply Rle_ge, IZR_le. unfold largest_of. lia. }
  assert (B : IZR u <= IZR (largest_of l u)) by (apply IZR_le; unfold largest_of; lia).
  apply Rabs_le. lra.
Qed.
(* a product of a factor that is not negative *)
Definition top_product (al ah bh : Z) : Z := if (0 <=? bh)%Z then (ah * bh)%Z else (al * bh)%Z.
Lemma top_product_is al ah bl bh a b : 0 <= IZR al -> within2 al ah a -> within2 bl bh b ->
  a * b * (IZR one * IZR one) <= IZR (top_product al ah bh).
Proof.
  intros Hp [A0 A1] [B0 B1]. replace (a * b * (IZR one * IZR one))
    with (a * IZR one * (b * IZR one)) by ring.
  set (x := a * IZR one) in *. set (y := b * IZR one) in *. unfold top_product.
  destruct (Z.leb_spec 0 bh) as [H|H]; rewrite mult_IZR.
  - apply IZR_le in H. apply Rle_trans with (x * IZR bh); [nra|]. nra.
  - apply IZR_lt in H. apply Rle_trans with (x * IZR bh); nra.
Qed.
Definition low_product (al ah bl : Z) : Z := (- top_product al ah (- bl))%Z.
Lemma low_product_is al ah bl bh a b : 0 <= IZR al -> within2 al ah a -> within2 bl bh b ->
  IZR (low_product al ah bl) <= a * b * (IZR one * IZR one).
Proof.
  intros Hp Ha [B0 B1]. unfold low_product. rewrite opp_IZR.
  assert (Hb : within2 (- bh) (- bl) (- b)).
  { unfold within2, between. rewrite !opp_IZR. lra. }
  pose proof (top_product_is al ah (- bh) (- bl) a (- b) Hp Ha Hb). lra.
Qed.

Lemma two_products f c f' c' F X : Rabs f <= F -> Rabs c' <= X ->
  Rabs (f * c - f' * c') <= F * Rabs (c - c') + X * Rabs (f - f').
Proof.
  intros Hf Hc. replace (f * c - f' * c') with (f * (c - c') + c' * (f - f')) by ring.
  eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_mult.
  apply Rplus_le_compat; apply Rmult_le_compat_r; assumption || apply Rabs_pos.
Qed.

(* boxes, of ends / 2^40 *)
Definition at1 (l : list Z) (i : nat) : Z := nth i l 0%Z.
Definition in_box (lo hi : list Z) (m : nat) (h : vec) : Prop :=
  forall i, (i < m)%nat -> within2 (nth i lo 0%Z) (nth i hi 0%Z) (h i).

(* the signals of a stack of gates: the own entry, then what each gate draws *)
Definition stack_rows (n : nat) (W : list (list Z)) (scale : Z) (k j : nat) : list Z :=
  match k with O => repeat 0%Z j ++ [scale] | S m => nth (m * n + j) W [] end.
Lemma own_signal n source W scale x j : (0 <? scale)%Z = true -> (j < n)%nat ->
  signal n source (stack_rows n W scale) scale 0 j x = x (source 0 * n + j)%nat.
Proof.
  intros Hscale Hj. unfold signal, stack_rows. apply Z.ltb_lt in Hscale.
  assert (Hs : 0 < IZR scale) by (apply (IZR_lt 0); exact Hscale).
  rewrite (sum_ext _ (fun i => if (i =? j)%nat then IZR scale * x (source 0 * n + j)%nat else 0)).
  - rewrite sum_one by exact Hj. field. lra.
  - intros i Hi. destruct (Nat.eqb_spec i j) as [->|E].
    + rewrite app_nth2; rewrite repeat_length; [|lia]. rewrite Nat.sub_diag. reflexivity.
    + destruct (Nat.lt_ge_cases i j).
      * rewrite app_nth1 by (rewrite repeat_length; lia). rewrite nth_repeat. ring.
      * rewrite nth_overflow by (rewrite app_length, repeat_length; simpl; lia). ring.
Qed.
Lemma seen_signal n source W scale h g k j : (0 <? scale)%Z = true ->
  signal n source (stack_rows n W scale) scale (S k) j (away h g)
  = sum (fun i => IZR (at2 W (k * n + j) i) / IZR scale * h (source (S k) * n + i)%nat) n
    - sum (fun i => IZR (at2 W (k * n + j) i) / IZR scale * g (source (S k) * n + i)%nat) n.
Proof.
  intros Hscale. unfold signal, stack_rows, at2. apply Z.ltb_lt in Hscale.
  assert (Hs : 0 < IZR scale) by (apply (IZR_lt 0); exact Hscale).
  unfold Rdiv at 1. rewrite Rmult_comm, <- sum_scale. set (r := nth (k * n + j) W []).
  rewrite (sum_ext _ (fun i => IZR (nth i r 0%Z) / IZR scale * h (source (S k) * n + i)%nat
    + -1 * (IZR (nth i r 0%Z) / IZR scale * g (source (S k) * n + i)%nat))).
  - rewrite sum_plus, sum_scale. ring.
  - intros i _. unfold away. field. lra.
Qed.

(* inputs of a box: U x + b lies between the ends that are allowed *)
Definition fed (U : list (list Z)) (b : list Z) (m : nat) (scale : Z) (x : vec) : vec := fun r =>
  sum (fun j => IZR (at2 U r j) / IZR scale * x j) m + IZR (nth r b 0%Z) / IZR scale.
Definition feeds (U : list (list Z)) (b : list Z) (m rows : nat) (scale : Z)
    (xlo xhi ulo uhi : list Z) : bool :=
  (0 <? scale)%Z && forallb (fun r =>
    (nth r ulo 0 * scale <=? least (at2 U r) (fun j => nth j xlo 0) (fun j => nth j xhi 0) m
       + nth r b 0 * one)%Z
    && (least (at2 U r) (fun j => nth j xhi 0) (fun j => nth j xlo 0) m + nth r b 0 * one
        <=? nth r uhi 0 * scale)%Z) (seq 0 rows).
Lemma feeds_is U b m rows scale xlo xhi ulo uhi : feeds U b m rows scale xlo xhi ulo uhi = true ->
  forall x, in_box xlo xhi m x -> in_box ulo uhi rows (fed U b m scale x).
Proof.
  unfold feeds. intros H x Hx r Hr. apply andb_prop in H as [Hs H].
  apply Z.ltb_lt in Hs. assert (Hscale : 0 < IZR scale) by (apply (IZR_lt 0); exact Hs).
  pose proof (forallb_seq _ _ H r Hr) as row. cbv beta in row.
  apply andb_prop in row as [H0 H1]. apply Z.leb_le in H0, H1. apply IZR_le in H0, H1.
  rewrite plus_IZR, !mult_IZR in H0, H1.
  pose proof (least_is (at2 U r) _ _ m x Hx) as L. pose proof (most_is (at2 U r) _ _ m x Hx) as M.
  assert (E : sum (fun j => IZR (at2 U r j) / IZR scale * x j) m * IZR scale
    = sum (fun j => IZR (at2 U r j) * x j) m).
  { rewrite Rmult_comm, <- sum_scale. apply sum_ext. intros j _. field. lra. }
  unfold within2, between, fed. set (y := sum (fun j => IZR (at2 U r j) / IZR scale * x j) m) in *.
  rewrite <- E in L, M.
  assert (B : (y + IZR (nth r b 0%Z) / IZR scale) * IZR one * IZR scale
    = y * IZR scale * IZR one + IZR (nth r b 0%Z) * IZR one) by (field; lra).
  split; apply (Rmult_le_reg_r (IZR scale)); try exact Hscale; rewrite B; lra.
Qed.

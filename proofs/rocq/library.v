(* What the theorems share: distances, runs of a recurrent map, contraction, recursions. *)
From Coq Require Import Reals Lra Lia Arith.
Open Scope R_scope.

(* A distance, possibly 0 between different points.  The distance |h - g| of a norm is one, on
   the whole space or on a domain that the map never leaves; |h| is the distance from the state
   that the theorems call o. *)
Record metric (T : Type) := Metric {
  distance :> T -> T -> R;
  distance_refl : forall a, distance a a = 0;
  distance_sym : forall a b, distance a b = distance b a;
  distance_triangle : forall a b c, distance a c <= distance a b + distance b c
}.
Arguments distance_refl {T}.
Arguments distance_sym {T}.
Arguments distance_triangle {T}.

Lemma distance_nonneg {T} (d : metric T) a b : 0 <= d a b.
Proof.
  pose proof (distance_triangle d a b a) as H.
  rewrite (distance_refl d), (distance_sym d b a) in H. lra.
Qed.

(* The real line. *)
Definition line : metric R.
Proof.
  refine (Metric R (fun a b => Rabs (a - b)) _ _ _).
  - intros a. rewrite Rminus_diag_eq, Rabs_R0; reflexivity.
  - intros a b. apply Rabs_minus_sym.
  - intros a b c. replace (a - c) with ((a - b) + (b - c)) by ring. apply Rabs_triang.
Defined.

Lemma line_is a b : line a b = Rabs (a - b).
Proof. reflexivity. Qed.

(* The plane with the maximum norm and with the sum norm. *)
Definition plane_max : metric (R * R).
Proof.
  refine (Metric _ (fun a b => Rmax (Rabs (fst a - fst b)) (Rabs (snd a - snd b))) _ _ _).
  - intros a. rewrite <- !line_is, !(distance_refl line). apply Rmax_left. lra.
  - intros a b. now rewrite (Rabs_minus_sym (fst a)), (Rabs_minus_sym (snd a)).
  - intros a b c. rewrite <- !line_is.
    pose proof (distance_triangle line (fst a) (fst b) (fst c)).
    pose proof (distance_triangle line (snd a) (snd b) (snd c)).
    pose proof (Rmax_l (line (fst a) (fst b)) (line (snd a) (snd b))).
    pose proof (Rmax_r (line (fst a) (fst b)) (line (snd a) (snd b))).
    pose proof (Rmax_l (line (fst b) (fst c)) (line (snd b) (snd c))).
    pose proof (Rmax_r (line (fst b) (fst c)) (line (snd b) (snd c))).
    apply Rmax_lub; lra.
Defined.

Definition plane_sum : metric (R * R).
Proof.
  refine (Metric _ (fun a b => Rabs (fst a - fst b) + Rabs (snd a - snd b)) _ _ _).
  - intros a. rewrite <- !line_is, !(distance_refl line). lra.
  - intros a b. now rewrite (Rabs_minus_sym (fst a)), (Rabs_minus_sym (snd a)).
  - intros a b c. rewrite <- !line_is.
    pose proof (distance_triangle line (fst a) (fst b) (fst c)).
    pose proof (distance_triangle line (snd a) (snd b) (snd c)). lra.
Defined.

(* A normed space. *)
Record normed := Normed {
  vector :> Type;
  origin : vector;
  plus : vector -> vector -> vector;
  scale : R -> vector -> vector;
  plus_assoc : forall a b c, plus a (plus b c) = plus (plus a b) c;
  plus_comm : forall a b, plus a b = plus b a;
  plus_origin : forall a, plus a origin = a;
  scale_zero : forall a, scale 0 a = origin;
  scale_one : forall a, scale 1 a = a;
  scale_scale : forall s t a, scale s (scale t a) = scale (s * t) a;
  scale_plus : forall s t a, scale (s + t) a = plus (scale s a) (scale t a);
  scale_sum : forall s a b, scale s (plus a b) = plus (scale s a) (scale s b);
  size : vector -> R;
  size_scale : forall s a, size (scale s a) = Rabs s * size a;
  size_plus : forall a b, size (plus a b) <= size a + size b
}.
Arguments origin {n}.
Arguments plus {n}.
Arguments scale {n}.
Arguments size {n}.

Definition minus {V : normed} (a b : V) : V := plus a (scale (-1) b).

Lemma minus_self {V : normed} (a : V) : minus a a = origin.
Proof.
  unfold minus. rewrite <- (scale_one V a) at 1. rewrite <- (scale_plus V).
  replace (1 + -1) with 0 by ring. apply scale_zero.
Qed.

Lemma minus_chain {V : normed} (a b c : V) : plus (minus a b) (minus b c) = minus a c.
Proof.
  unfold minus at 1 2. rewrite <- (plus_assoc V), (plus_assoc V (scale (-1) b)).
  rewrite (plus_comm V (scale (-1) b) b). fold (minus b b).
  now rewrite minus_self, (plus_comm V origin), (plus_origin V).
Qed.

Lemma minus_plus {V : normed} (a b c e : V) :
  minus (plus a b) (plus c e) = plus (minus a c) (minus b e).
Proof.
  unfold minus. rewrite (scale_sum V), <- !(plus_assoc V). f_equal.
  now rewrite !(plus_assoc V), (plus_comm V b).
Qed.

Lemma minus_scale {V : normed} s (a b : V) : minus (scale s a) (scale s b) = scale s (minus a b).
Proof. unfold minus. now rewrite (scale_sum V), !(scale_scale V), (Rmult_comm (-1)). Qed.

Lemma minus_minus {V : normed} (a b c e : V) :
  minus (minus a b) (minus c e) = minus (minus a c) (minus b e).
Proof.
  change (minus (plus a (scale (-1) b)) (plus c (scale (-1) e)) = minus (minus a c) (minus b e)).
  now rewrite minus_plus, minus_scale.
Qed.

Lemma minus_origin {V : normed} (a : V) : minus a origin = a.
Proof.
  unfold minus. rewrite <- (scale_zero V origin), (scale_scale V), Rmult_0_r, (scale_zero V).
  apply plus_origin.
Qed.

Lemma size_origin {V : normed} : size (@origin V) = 0.
Proof. rewrite <- (scale_zero V origin), (size_scale V), Rabs_R0. ring. Qed.

Lemma minus_flip {V : normed} (a b : V) : minus b a = scale (-1) (minus a b).
Proof.
  unfold minus. rewrite (scale_sum V), (scale_scale V).
  replace (-1 * -1) with 1 by ring. rewrite (scale_one V). apply (plus_comm V).
Qed.

(* its distance |a - b| *)
Definition metric_of (V : normed) : metric V.
Proof.
  refine (Metric V (fun a b => size (minus a b)) _ _ _).
  - intros a. rewrite minus_self. apply size_origin.
  - intros a b. rewrite (minus_flip b a), (size_scale V), Rabs_left by lra. ring.
  - intros a b c. rewrite <- (minus_chain a b c). apply size_plus.
Defined.

Lemma size_nonneg {V : normed} (a : V) : 0 <= size a.
Proof.
  pose proof (distance_nonneg (metric_of V) a origin) as H. cbn in H.
  now rewrite minus_origin in H.
Qed.

(* the real line is one *)
Definition reals : normed.
Proof.
  refine (Normed R 0 Rplus Rmult _ _ _ _ _ _ _ _ Rabs _ _); intros; try ring.
  - apply Rabs_mult.
  - apply Rabs_triang.
Defined.

(* Runs: the state after the n inputs x from, ..., x (from + n - 1), started at h. *)
Section Runs.
  Context {T X : Type}.
  Variable step : T -> X -> T.
  Variable x : nat -> X.

  Fixpoint run (h : T) (from n : nat) : T :=
    match n with O => h | S m => step (run h from m) (x (from + m)%nat) end.

  (* h_t: the recurrent model after t inputs *)
  Definition state (h : T) (t : nat) : T := run h 0 t.

  (* h_t^k: its k-step counterpart, restarted k steps before t; with t < k it sees t inputs *)
  Definition truncated (restart : T) (k t : nat) : T := run restart (t - k) (Nat.min k t).

  Lemma run_split h from m n : run h from (m + n) = run (run h from m) (from + m) n.
  Proof.
    induction n as [|n IH]; simpl.
    - now rewrite Nat.add_0_r.
    - rewrite Nat.add_succ_r; simpl; rewrite IH.
      now replace (from + (m + n))%nat with (from + m + n)%nat by lia.
  Qed.

  Lemma run_first h from n : run h from (S n) = run (step h (x from)) (S from) n.
  Proof.
    change (S n) with (1 + n)%nat. rewrite run_split. simpl. rewrite Nat.add_0_r.
    now replace (from + 1)%nat with (S from) by lia.
  Qed.

  Lemma state_split h t k : (k <= t)%nat -> state h t = run (state h (t - k)) (t - k) k.
  Proof.
    intros Hk. unfold state. replace t with (t - k + k)%nat at 1 by lia.
    now rewrite run_split.
  Qed.

  Lemma truncated_long g k t : (k <= t)%nat -> truncated g k t = run g (t - k) k.
  Proof. intros Hk. unfold truncated. now rewrite Nat.min_l. Qed.

  Lemma truncated_short h k t : (t <= k)%nat -> truncated h k t = state h t.
  Proof.
    intros Hk. unfold truncated, state. rewrite Nat.min_r by assumption.
    now replace (t - k)%nat with 0%nat by lia.
  Qed.
End Runs.

Definition contractive {T X} (d : metric T) (step : T -> X -> T) (lam : R) : Prop :=
  forall h g x, d (step h x) (step g x) <= lam * d h g.

Definition lipschitz_map {T Y} (d : metric T) (e : metric Y) (f : T -> Y) (lipschitz : R) : Prop :=
  forall h g, e (f h) (f g) <= lipschitz * d h g.

(* a sum of n terms *)
Fixpoint sum (f : nat -> R) (n : nat) : R := match n with O => 0 | S m => sum f m + f m end.

Lemma sum_nonneg f n : (forall i, 0 <= f i) -> 0 <= sum f n.
Proof. intros H. induction n as [|n IH]; simpl; [lra|]. specialize (H n). lra. Qed.

Lemma sum_monotone f m n : (forall i, 0 <= f i) -> (m <= n)%nat -> sum f m <= sum f n.
Proof.
  intros H Hmn. induction Hmn as [|n Hmn IH]; simpl; [lra|]. specialize (H n). lra.
Qed.

(* Projected gradient descent: the parameters after N steps w <- Pi (w - alpha_i g(w)). *)
Fixpoint descent {W : normed} (Pi g : W -> W) (alpha : nat -> R) (w : W) (N : nat) : W :=
  match N with
  | O => w
  | S n => let v := descent Pi g alpha w n in Pi (minus v (scale (alpha n) (g v)))
  end.

(* the product of 1 + alpha_i beta over N steps *)
Fixpoint amplification (alpha : nat -> R) (beta : R) (N : nat) : R :=
  match N with O => 1 | S n => amplification alpha beta n * (1 + alpha n * beta) end.

Lemma amplification_grows alpha beta N : (forall i, 0 <= alpha i) -> 0 <= beta ->
  1 <= amplification alpha beta N.
Proof.
  intros Ha Hb. induction N as [|n IH]; simpl; [lra|]. specialize (Ha n). assert (0
    <= alpha n * beta) by nra. nra.
Qed.

Lemma twins_part {W : normed} (Pi g g_k : W -> W) alpha (w : W) N mismatch beta :
  (forall v u, size (minus (Pi v) (Pi u)) <= size (minus v u)) ->
  (forall i, 0 <= alpha i) ->
  0 < beta -> (forall v u, size (minus (g v) (g u)) <= beta * size (minus v u)) ->
  (forall v, size (minus (g v) (g_k v)) <= mismatch) ->
  size (minus (descent Pi g alpha w N) (descent Pi g_k alpha w N))
  <= mismatch * (amplification alpha beta N - 1) / beta.
Proof.
  intros HPi Ha Hb Hg Hm. induction N as [|N IH].
  - simpl. rewrite minus_self, size_origin. right. field. lra.
  - simpl. set (a := descent Pi g alpha w N) in *. set (b := descent Pi g_k alpha w N) in *.
    eapply Rle_trans; [apply HPi|]. rewrite minus_minus, minus_scale.
    eapply Rle_trans; [apply size_plus|].
    rewrite !(size_scale W), (Rabs_left (-1)), (Rabs_right (alpha N)) by (apply Rle_ge, Ha || lra).
    specialize (Ha N). specialize (Hg a b). specialize (Hm b).
    assert (moved : size (minus (g a) (g_k b)) <= beta * size (minus a b) + mismatch).
    { rewrite <- (minus_chain _ (g b)). eapply Rle_trans; [apply size_plus|]. lra. }
    apply (Rmult_le_compat_l (alpha N)) in moved; [|exact Ha].
    apply Rle_trans with ((1 + alpha N * beta) * size (minus a b) + alpha N * mismatch); [lra|].
    assert (0 <= alpha N * beta) by nra.
    apply (Rmult_le_compat_l (1 + alpha N * beta)) in IH; [|lra].
    eapply Rle_trans; [apply Rplus_le_compat_r, IH|]. right. field. lra.
Qed.

(* Recursions *)
Lemma recursion lam c (e : nat -> R) : 0 <= lam -> lam <> 1 ->
  (forall n, e (S n) <= lam * e n + c) ->
  forall n, e n <= lam ^ n * e 0%nat + c * (1 - lam ^ n) / (1 - lam).
Proof.
  intros H0 H1 He n. induction n as [|n IH]; simpl.
  - right. field. lra.
  - eapply Rle_trans; [apply He|].
    eapply Rle_trans; [apply Rplus_le_compat_r, Rmult_le_compat_l; [exact H0 | apply IH]|].
    right. field. lra.
Qed.

Lemma recursion_exact lam c (e : nat -> R) : lam <> 1 ->
  (forall n, e (S n) = lam * e n + c) ->
  forall n, e n = lam ^ n * e 0%nat + c * (1 - lam ^ n) / (1 - lam).
Proof.
  intros H1 He n. induction n as [|n IH]; simpl.
  - field. lra.
  - rewrite He, IH. field. lra.
Qed.

Lemma shrinking lam (e : nat -> R) : 0 <= lam -> (forall n, e (S n) <= lam * e n) ->
  forall n, e n <= lam ^ n * e 0%nat.
Proof.
  intros H0 He n. induction n as [|n IH]; simpl.
  - lra.
  - eapply Rle_trans; [apply He|]. rewrite Rmult_assoc. now apply Rmult_le_compat_l.
Qed.

Lemma pow_unit lam n : 0 <= lam < 1 -> 0 <= lam ^ n <= 1.
Proof.
  intros H. induction n as [|n IH]; simpl; nra.
Qed.

Lemma pow_split lam k t : (k <= t)%nat -> lam ^ t = lam ^ k * lam ^ (t - k).
Proof. intros H. rewrite <- pow_add. f_equal. lia. Qed.

Lemma div_nonneg a b : 0 <= a -> 0 < b -> 0 <= a / b.
Proof. intros Ha Hb. apply Rmult_le_pos; [exact Ha|]. left. now apply Rinv_0_lt_compat. Qed.

Lemma div_le a b c : 0 < c -> a <= b -> a / c <= b / c.
Proof. intros Hc H. apply Rmult_le_compat_r; [|exact H]. left. now apply Rinv_0_lt_compat. Qed.

(* powers of lam become as small as one likes *)
Lemma pow_fades lam eps : 0 <= lam < 1 -> 0 < eps -> exists n, forall m, (n <= m)%nat -> lam ^ m
  < eps.
Proof.
  intros H He. destruct (pow_lt_1_zero lam) with (y := eps) as [n Hn]; [rewrite Rabs_right;
    lra|lra|].
  exists n. intros m Hm. specialize (Hn m Hm). rewrite Rabs_right in Hn; [exact Hn|].
  apply Rle_ge. now apply pow_unit.
Qed.

(* so does n lam^(n - 1) *)
Lemma linear_fades lam eps : 0 <= lam < 1 -> 0 < eps -> exists n, INR n * lam ^ (n - 1) < eps /\ (1
  <= n)%nat.
Proof.
  intros Hlam He. set (mu := sqrt lam).
  assert (Hmu : 0 <= mu < 1).
  { split; [apply sqrt_pos|]. rewrite <- sqrt_1. apply sqrt_lt_1; lra. }
  assert (Hsquare : lam = mu * mu) by (symmetry; apply sqrt_sqrt; lra).
  assert (geometric : forall m, (INR m + 1) * mu ^ m <= (1 - mu ^ S m) / (1 - mu)).
  { induction m as [|m IH]; [simpl; right; field; lra|]. rewrite S_INR.
    apply (Rmult_le_compat_l mu) in IH; [|lra]. pose proof (pow_unit mu (S m) Hmu).
    replace ((1 - mu ^ S (S m)) / (1 - mu)) with (mu * ((1 - mu ^ S m) / (1 - mu)) + 1)
      by (simpl; field; lra).
    replace (mu * ((INR m + 1) * mu ^ m)) with ((INR m + 1) * mu ^ S m) in IH by (simpl;
      ring). lra. }
  destruct (pow_fades mu (eps * (1 - mu)) Hmu) as [m Hm]; [apply Rmult_lt_0_compat; lra|].
  exists (S m). split; [|lia]. replace (S m - 1)%nat with m by lia. rewrite S_INR, Hsquare,
    Rpow_mult_distr.
  specialize (Hm m ltac:(lia)). specialize (geometric m).
  pose proof (pow_unit mu m Hmu). pose proof (pow_unit mu (S m) Hmu).
  assert ((INR m + 1) * mu ^ m <= 1 / (1 - mu)).
  { eapply Rle_trans; [exact geometric|]. apply div_le; lra. }
  apply Rle_lt_trans with (1 / (1 - mu) * mu ^ m); [nra|].
  apply (Rmult_lt_reg_r (1 - mu)); [lra|].
  replace (1 / (1 - mu) * mu ^ m * (1 - mu)) with (mu ^ m) by (field; lra). exact Hm.
Qed.

Section Contraction.
  Context {T X : Type}.
  Variables (d : metric T) (step : T -> X -> T) (lam : R).
  Hypothesis Hlam : 0 <= lam < 1.
  Hypothesis Hstep : contractive d step lam.

  Lemma run_forgets x h g from n : d (run step x h from n) (run step x g from n) <= lam ^ n * d h g.
  Proof.
    apply (shrinking lam (fun n => d (run step x h from n) (run step x g from n))); [lra|].
    intros m. apply Hstep.
  Qed.

  Lemma run_size x o drive h from n : (forall t, d (step o (x t)) o <= drive) ->
    d (run step x h from n) o <= lam ^ n * d h o + drive * (1 - lam ^ n) / (1 - lam).
  Proof.
    intros Hd. apply (recursion lam drive (fun n => d (run step x h from n) o)); [lra|lra|].
    intros m. simpl. eapply Rle_trans; [apply (distance_triangle d _ (step o (x (from + m)%nat)))|].
    apply Rplus_le_compat; [apply Hstep | apply Hd].
  Qed.

  (* the gap of the k-step counterpart, from the stored state *)
  Lemma gap_observed x h restart k t : (k <= t)%nat ->
    d (state step x h t) (truncated step x restart k t)
      <= lam ^ k * d (state step x h (t - k)) restart.
  Proof.
    intros Hk. rewrite (state_split step x h t k Hk), truncated_long by exact Hk. apply run_forgets.
  Qed.

  Lemma gap_finite x o drive k t : (forall s, d (step o (x s)) o <= drive) -> (k <= t)%nat ->
    d (state step x o t) (truncated step x o k t) <= drive * (lam ^ k - lam ^ t) / (1 - lam).
  Proof.
    intros Hd Hk. eapply Rle_trans; [now apply gap_observed|].
    eapply Rle_trans.
    - apply Rmult_le_compat_l; [now apply pow_unit|]. apply (run_size x o drive). exact Hd.
    - right. rewrite (distance_refl d), (pow_split lam k t Hk). field. lra.
  Qed.

  Lemma gap_always x o drive k t : (forall s, d (step o (x s)) o <= drive) ->
    d (state step x o t) (truncated step x o k t) <= drive * lam ^ k / (1 - lam).
  Proof.
    intros Hd.
    assert (Hc : 0 <= drive) by (pose proof (distance_nonneg d (step o (x 0%nat)) o);
      specialize (Hd 0%nat); lra).
    pose proof (pow_unit lam k Hlam). pose proof (pow_unit lam t Hlam).
    destruct (le_lt_dec k t) as [Hk|Hk].
    - eapply Rle_trans; [now apply gap_finite|]. apply div_le; nra.
    - rewrite truncated_short, (distance_refl d) by lia. apply div_nonneg; [nra|lra].
  Qed.
End Contraction.

(* two maps of which the first contracts, on the states that the second one meets *)
Lemma parameters_apart {T X P} (d : metric T) (e : metric P) (step : P -> T -> X ->
  T) x lam gain w v h t :
  0 <= lam < 1 -> contractive d (step w) lam ->
  (forall s, d (step w (state (step v) x h s) (x s)) (step v (state (step v) x h s) (x s))
    <= gain * e w v) ->
  d (state (step w) x h t) (state (step v) x h t) <= gain * e w v * (1 - lam ^ t) / (1 - lam).
Proof.
  intros Hlam Hstep Hgain.
  eapply Rle_trans; [apply (recursion lam (gain * e w v)
    (fun t => d (state (step w) x h t) (state (step v) x h t)))|]; [lra|lra| |].
  - intros n. unfold state; simpl.
    eapply Rle_trans; [apply (distance_triangle d _ (step w (run (step v) x h 0 n) (x n)))|].
    apply Rplus_le_compat; [apply Hstep | apply Hgain].
  - unfold state; simpl. rewrite (distance_refl d). right. field. lra.
Qed.

Lemma parameters_part {T X P} (d : metric T) (e : metric P) (step : P -> T -> X ->
  T) x lam gain w v h t :
  0 <= lam < 1 -> contractive d (step w) lam -> 0 <= gain ->
  (forall s, d (step w (state (step v) x h s) (x s)) (step v (state (step v) x h s) (x s))
    <= gain * e w v) ->
  d (state (step w) x h t) (state (step v) x h t) <= gain * e w v / (1 - lam).
Proof.
  intros Hlam Hstep Hg Hgain. eapply Rle_trans; [now apply (parameters_apart d e step x lam gain)|].
  apply div_le; [lra|]. pose proof (distance_nonneg e w v). pose proof (pow_unit lam t Hlam).
  assert (0 <= gain * e w v) by nra. nra.
Qed.

(* r steps together contract, whatever their inputs *)
Definition iterate_contractive {T X} (d : metric T) (step : T -> X ->
  T) (r : nat) (lam : R) : Prop :=
  forall x h g from, d (run step x h from r) (run step x g from r) <= lam * d h g.

Lemma run_blocks {T X} (d : metric T) (step : T -> X -> T) r lam x h g from n : 0 <= lam ->
  iterate_contractive d step r lam ->
  d (run step x h from (n * r)) (run step x g from (n * r)) <= lam ^ n * d h g.
Proof.
  intros Hlam Hr. induction n as [|n IH]; [simpl; lra|].
  replace (S n * r)%nat with (n * r + r)%nat by ring. rewrite !run_split.
  eapply Rle_trans; [apply Hr|]. simpl. rewrite Rmult_assoc. now apply Rmult_le_compat_l.
Qed.

(* the gap of the k-step counterpart: the first steps one by one, then in blocks *)
Lemma gap_iterate {T X} (d : metric T) (step : T -> X -> T) r lam growth x h g blocks rest t :
  0 <= lam -> iterate_contractive d step r lam -> 0 <= growth -> contractive d step growth ->
  (blocks * r + rest <= t)%nat ->
  let k := (blocks * r + rest)%nat in
  d (state step x h t) (truncated step x g k t)
  <= growth ^ rest * lam ^ blocks * d (state step x h (t - k)) g.
Proof.
  intros Hlam Hr Hg Hstep Hk k. subst k. set (k := (blocks * r + rest)%nat) in *.
  rewrite (state_split step x h t k Hk), truncated_long by exact Hk.
  unfold k at 3 5. replace (blocks * r + rest)%nat with (rest + blocks * r)%nat by ring.
  rewrite !run_split. eapply Rle_trans; [now apply (run_blocks d step r lam)|].
  rewrite (Rmult_comm (growth ^ rest)), Rmult_assoc. apply Rmult_le_compat_l; [now apply pow_le|].
  apply (shrinking growth (fun n => d (run step x (state step x h (t - k)) (t - k) n) (run step x g
    (t - k) n)));
    [exact Hg|].
  intros n. apply Hstep.
Qed.

(* Witnesses: h -> lam h + gain x + offset on the line *)
Definition affine (lam gain offset : R) (h x : R) : R := lam * h + gain * x + offset.

Lemma affine_contractive lam gain offset : 0 <= lam ->
  contractive line (affine lam gain offset) lam.
Proof.
  intros H h g x. rewrite !line_is. unfold affine.
  replace (lam * h + gain * x + offset - (lam * g + gain * x + offset)) with (lam * (h - g))
    by ring.
  rewrite Rabs_mult, (Rabs_right lam); lra.
Qed.

Lemma affine_drive lam gain offset x : 0 <= gain * x + offset ->
  line (affine lam gain offset 0 x) 0 = gain * x + offset.
Proof. intros H. rewrite line_is. unfold affine. rewrite Rabs_right; lra. Qed.

Lemma affine_run lam gain offset c h from n : lam <> 1 ->
  run (affine lam gain offset) (fun _ => c) h from n
  = lam ^ n * h + (gain * c + offset) * (1 - lam ^ n) / (1 - lam).
Proof.
  intros H.
  rewrite (recursion_exact lam (gain * c + offset)
    (fun n => run (affine lam gain offset) (fun _ => c) h from n)); [reflexivity|exact H|].
  intros m. simpl. unfold affine. ring.
Qed.

Lemma affine_gap lam gain offset c h g from n : lam <> 1 ->
  run (affine lam gain offset) (fun _ => c) h from n - run (affine lam gain offset) (fun _ => c) g
    from n
  = lam ^ n * (h - g).
Proof. intros H. rewrite !affine_run by exact H. ring. Qed.

(* the gap of the k-step counterpart of h -> lam h + offset, from 0 *)
Lemma affine_truncated lam offset k t : 0 <= lam < 1 -> 0 <= offset -> (k <= t)%nat ->
  line (state (affine lam 0 offset) (fun _ => 0) 0 t) (truncated (affine lam 0 offset) (fun _ => 0)
    0 k t)
  = offset * (lam ^ k - lam ^ t) / (1 - lam).
Proof.
  intros Hlam Ho Hk. rewrite (state_split _ _ _ t k Hk), truncated_long by exact Hk.
  rewrite line_is, affine_gap by lra. unfold state. rewrite affine_run by lra.
  pose proof (pow_unit lam k Hlam). pose proof (pow_unit lam (t - k) Hlam).
  rewrite (pow_split lam k t Hk). rewrite Rabs_right.
  - field. lra.
  - apply Rle_ge, Rmult_le_pos; [lra|].
    replace (lam ^ (t - k) * 0 + (0 * 0 + offset) * (1 - lam ^ (t - k)) / (1 - lam) - 0)
      with (offset * (1 - lam ^ (t - k)) / (1 - lam)) by (field; lra).
    apply div_nonneg; nra.
Qed.

(* and it comes as near to its limit as one likes *)
Lemma affine_truncated_limit lam offset k eps : 0 <= lam < 1 -> 0 <= offset -> 0 < eps -> exists t,
  offset * lam ^ k / (1 - lam) - eps
  < line (state (affine lam 0 offset) (fun _ => 0) 0 t) (truncated (affine lam 0 offset) (fun _ =>
    0) 0 k t).
Proof.
  intros Hlam Ho He.
  destruct (pow_fades lam (eps * (1 - lam) / (offset + 1)) Hlam) as [n Hn].
  { apply Rdiv_lt_0_compat; [apply Rmult_lt_0_compat|]; lra. }
  exists (n + k)%nat. rewrite affine_truncated by (assumption || lia).
  specialize (Hn (n + k)%nat ltac:(lia)).
  pose proof (pow_unit lam (n + k) Hlam).
  assert (lam ^ (n + k) * (offset + 1) < eps * (1 - lam)).
  { apply (Rmult_lt_compat_r (offset + 1)) in Hn; [|lra].
    replace (eps * (1 - lam) / (offset + 1) * (offset + 1)) with (eps * (1 - lam)) in Hn by (field;
      lra).
    exact Hn. }
  apply (Rmult_lt_reg_r (1 - lam)); [lra|].
  replace ((offset * lam ^ k / (1 - lam) - eps) * (1 - lam))
    with (offset * lam ^ k - eps * (1 - lam)) by (field; lra).
  replace (offset * (lam ^ k - lam ^ (n + k)) / (1 - lam) * (1 - lam))
    with (offset * lam ^ k - offset * lam ^ (n + k)) by (field; lra).
  nra.
Qed.

Lemma affine_driven lam offset o : 0 <= offset ->
  (forall t : nat, line (affine lam 0 offset 0 o) 0 <= offset).
Proof. intros H t. rewrite affine_drive; lra. Qed.

(* Contraction in a weighted Euclidean norm from terms with bounded coefficients. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import vectors inner.

(* |e|^2 = sum_i p_i e_i^2 *)
Definition squared (n : nat) (p e : vec) : R := sum (fun i => p i * e i ^ 2) n.

(* vectors with the inner product sum_k t_k a_k b_k *)
Definition weighted_space (K : nat) (t : vec) : (forall k, 0 < t k) -> inner_space.
Proof.
  intros Ht. refine (Inner vec (fun a b k => a k - b k) (fun s a b k => (1 - s) * a k + s * b k)
    (fun a b => sum (fun k => t k * a k * b k) K) _ _ _ _ (fun s a b k => a k - s * b k) _).
  - intros a b. apply sum_ext. intros k _. ring.
  - intros a b c. rewrite (sum_ext _ (fun k => t k * a k * b k + -1 * (t k * a k * c k)))
      by (intros; ring). rewrite sum_plus, sum_scale. ring.
  - intros s a b c. rewrite <- !sum_scale, <- sum_plus. apply sum_ext. intros k _. ring.
  - intros a. apply sum_nonneg. intros k. specialize (Ht k). pose proof (Rle_0_sqr (a k)).
    unfold Rsqr in *. nra.
  - intros s a b c. rewrite (sum_ext _ (fun k => t k * c k * a k + - s * (t k * c k * b k)))
      by (intros; ring). rewrite sum_plus, sum_scale. ring.
Defined.

Lemma products K (c t y : vec) : (forall k, 0 < t k) ->
  sum (fun k => c k * y k) K ^ 2
  <= sum (fun k => c k ^ 2 / t k) K * sum (fun k => t k * y k ^ 2) K.
Proof.
  intros Ht. set (V := weighted_space K t Ht). set (a := (fun k => c k / t k) : V).
  assert (ab : dot a (y : V) = sum (fun k => c k * y k) K).
  { apply sum_ext. intros k _. unfold a. pose proof (Ht k). field. lra. }
  assert (aa : dot a a = sum (fun k => c k ^ 2 / t k) K).
  { apply sum_ext. intros k _. unfold a. pose proof (Ht k). field. lra. }
  assert (yy : dot (y : V) (y : V) = sum (fun k => t k * y k ^ 2) K).
  { apply sum_ext. intros k _. ring. }
  rewrite <- ab, <- aa, <- yy, <- !length_square.
  pose proof (cauchy_schwarz a (y : V)) as H. pose proof (length_nonneg a).
  pose proof (length_nonneg (y : V)).
  assert (negative : - dot a (y : V) <= length a * length (y : V)).
  { set (m := (fun k => - c k / t k) : V).
    replace (- dot a (y : V)) with (dot m (y : V)).
    - replace (length a) with (length m); [apply cauchy_schwarz|]. unfold length. f_equal.
      apply sum_ext. intros k _. unfold m, a. pose proof (Ht k). field. lra.
    - rewrite ab. rewrite <- (Rmult_1_l (sum _ K)), Ropp_mult_distr_l, <- sum_scale.
      apply sum_ext. intros k _. unfold m. pose proof (Ht k). field. lra. }
  replace (length a * length a * (length (y : V) * length (y : V)))
    with ((length a * length (y : V)) ^ 2) by ring.
  apply pow_maj_Rabs. now apply Rabs_le; lra.
Qed.

(* y k i is the signal of the term k in the unit i; none of it need be linear *)
Theorem contractive_of_multipliers {X} (n K : nat) (step : vec -> X -> vec) (domain : vec -> Prop)
    (inputs : X -> Prop) (sheet : (nat -> nat -> R) -> Prop) (y : nat -> nat -> vec -> R) (p : vec)
    (t : nat -> nat -> R) (level load : R) :
  (forall i, 0 < p i) -> (forall i k, 0 < t i k) -> 0 <= load ->
  (* the terms bound a step on the domain *)
  (forall h g x i, domain h -> domain g -> inputs x -> (i < n)%nat -> exists C, sheet C /\
    Rabs (difference (step h x) (step g x) i)
    <= sum (fun k => C i k * Rabs (y k i (difference h g))) K) ->
  (forall e, sum (fun i => p i * sum (fun k => t i k * y k i e ^ 2) K) n <= level * squared n p e)
  ->
  (forall C i, sheet C -> (i < n)%nat -> sum (fun k => C i k ^ 2 / t i k) K <= load) ->
  forall h g x, domain h -> domain g -> inputs x ->
  squared n p (difference (step h x) (step g x))
  <= formulas.contractive_of_multipliers level load * squared n p (difference h g).
Proof.
  intros Hp Ht Hload Hterms Hform Hloads h g x Hh Hg Hx. set (e := difference h g).
  apply Rle_trans with (load * sum (fun i => p i * sum (fun k => t i k * y k i e ^ 2) K) n).
  - rewrite <- sum_scale. apply sum_le. intros i Hi.
    destruct (Hterms h g x i Hh Hg Hx Hi) as [C [Hin Hle]].
    set (d := difference (step h x) (step g x) i) in *. fold e in Hle.
    replace (load * (p i * sum (fun k => t i k * y k i e ^ 2) K))
      with (p i * (load * sum (fun k => t i k * y k i e ^ 2) K)) by ring.
    apply Rmult_le_compat_l; [left; apply Hp|].
    apply Rle_trans with (sum (fun k => C i k * Rabs (y k i e)) K ^ 2).
    + now apply pow_maj_Rabs.
    + eapply Rle_trans; [apply (products K _ (t i) _ (Ht i))|].
      rewrite (sum_ext (fun k => t i k * Rabs (y k i e) ^ 2) (fun k => t i k * y k i e ^ 2))
        by (intros k _; now rewrite pow2_abs).
      apply Rmult_le_compat_r; [|now apply Hloads]. apply sum_nonneg. intros k.
      specialize (Ht i k). pose proof (pow2_ge_0 (y k i e)). nra.
  - specialize (Hform e). unfold formulas.contractive_of_multipliers.
    apply (Rmult_le_compat_l load) in Hform; [|exact Hload]. lra.
Qed.

(* an intermediate part of the level 1 / load drops out *)
Theorem intermediate_part (moved inner apart level load : R) : 0 < load ->
  moved + inner <= load * (level * apart + inner / load) ->
  moved <= formulas.contractive_of_multipliers level load * apart.
Proof.
  intros Hload H. unfold formulas.contractive_of_multipliers.
  replace (load * (level * apart + inner / load)) with (level * load * apart + inner) in H
    by (field; lra). lra.
Qed.

(* h -> (a + b) h as two terms: level and load are a + b *)
Theorem attained (a b h g : R) : 0 < a -> 0 < b ->
  let step (h : vec) (_ : unit) : vec := fun i => (a + b) * h i in
  let C (_ k : nat) := if k then a else b in
  let one (_ : nat) := 1 in
  let still (a : R) (_ : nat) := a in
  let y (_ i : nat) (e : vec) := e i in
  (forall e, sum (fun i => one i * sum (fun k => C i k * y k i e ^ 2) 2) 1
    <= (a + b) * squared 1 one e) /\
  sum (fun k => C 0%nat k ^ 2 / C 0%nat k) 2 = a + b /\
  squared 1 one (difference (step (still h) tt) (step (still g) tt))
  = formulas.contractive_of_multipliers (a + b) (a + b)
    * squared 1 one (difference (still h) (still g)).
Proof.
  intros Ha Hb step C one still y. repeat split.
  - intros e. unfold squared, one, C, y. cbn [sum]. right. ring.
  - unfold C. cbn [sum]. field. lra.
  - unfold squared, difference, step, one, still, formulas.contractive_of_multipliers. cbn [sum].
    ring.
Qed.

(* Contraction by terms in sectors, in a Euclidean norm of a Gram matrix: the S-procedure. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import vectors.

(* h^T P h *)
Definition quadratic (n : nat) (P : nat -> nat ->
  R) (h : vec) : R := sum (fun i => h i * apply n P h i) n.

(* what the terms w leave of their sectors |w_k| <= |y_k| *)
Definition slack (m : nat) (q y w : vec) : R := sum (fun k => q k * (y k ^ 2 - w k ^ 2)) m.

(* A, B, C and D are linear, but only the form's sign matters: d+ = A d + B w, y = C d + D w *)
Theorem contractive_of_sectors {X} (n m : nat) (step : vec -> X -> vec) (P : nat -> nat -> R)
    (A B C D : vec -> vec) (q : vec) (rate : R) :
  (forall h g x, exists w,
    (forall i, difference (step h x) (step g x) i = A (difference h g) i + B w i) /\
    (forall k, w k ^ 2 <= (C (difference h g) k + D w k) ^ 2)) ->
  (forall k, 0 <= q k) -> 0 <= rate ->
  (forall d w, 0 <= rate ^ 2 * quadratic n P d - quadratic n P (fun i => A d i + B w i)
    - slack m q (fun k => C d k + D w k) w) ->
  forall h g x, sqrt (quadratic n P (difference (step h x) (step g x)))
  <= formulas.contractive_of_sectors rate * sqrt (quadratic n P (difference h g)).
Proof.
  intros Hstep Hq Hrate Hform h g x. unfold formulas.contractive_of_sectors.
  destruct (Hstep h g x) as [w [Hnew Hsector]].
  set (d := difference h g) in *.
  assert (inside : 0 <= slack m q (fun k => C d k + D w k) w).
  { unfold slack. apply sum_nonneg. intros k. apply Rmult_le_pos; [apply Hq|].
    specialize (Hsector k). lra. }
  assert (same : quadratic n P (difference (step h x) (step g x))
    = quadratic n P (fun i => A d i + B w i)).
  { unfold quadratic. apply sum_ext. intros i _. rewrite Hnew. f_equal.
    unfold apply. apply sum_ext. intros j _. rewrite Hnew. reflexivity. }
  specialize (Hform d w).
  replace (rate * sqrt (quadratic n P d)) with (sqrt (rate ^ 2 * quadratic n P d)).
  - apply sqrt_le_1_alt. lra.
  - rewrite sqrt_mult_alt by apply pow2_ge_0. rewrite <- Rsqr_pow2, sqrt_Rsqr
    by exact Hrate. reflexivity.
Qed.

(* h -> rate h, without a term: nothing is lost *)
Theorem attained (rate h g : R) : 0 <= rate ->
  let one (_ _ : nat) := 1 in
  let still (a : R) (_ : nat) := a in
  let step (a : vec) (_ : unit) (i : nat) := rate * a i in
  (forall d w : vec, 0 <= rate ^ 2 * quadratic 1 one d - quadratic 1 one (fun i => rate * d i + 0)
    - slack 0 (fun _ => 1) (fun _ => 0) w) /\
  sqrt (quadratic 1 one (difference (step (still h) tt) (step (still g) tt)))
  = formulas.contractive_of_sectors rate * sqrt (quadratic 1 one (difference (still h) (still g))).
Proof.
  intros Hr one still step. split.
  - intros d w. unfold quadratic, slack, apply, one. simpl. lra.
  - unfold formulas.contractive_of_sectors, quadratic, apply, difference, one, step, still. simpl.
    replace (0 + (rate * h - rate * g) * (0 + 1 * (rate * h - rate * g)))
      with (rate ^ 2 * (0 + (h - g) * (0 + 1 * (h - g)))) by ring.
    rewrite sqrt_mult_alt by apply pow2_ge_0. rewrite <- Rsqr_pow2, sqrt_Rsqr by exact Hr.
    reflexivity.
Qed.

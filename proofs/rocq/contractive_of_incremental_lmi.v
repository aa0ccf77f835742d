(* The incremental matrix inequality: contraction in a Euclidean norm of a Gram matrix. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import vectors.

(* h^T P h *)
Definition quadratic (n : nat) (P : nat -> nat -> R) (h : vec) : R := sum (fun i => h i * apply n P h i) n.

(* the block matrix with rows r^2 P + 2 W^T Q diag(alpha beta) W, - W^T Q diag(alpha + beta) and
   - Q diag(alpha + beta) W, 2 Q - P, as a quadratic form of (e, b) *)
Definition block (n : nat) (P W : nat -> nat -> R) (q alpha beta : vec) (rate : R) (e b : vec) : R :=
  rate ^ 2 * quadratic n P e + 2 * sum (fun i => q i * (alpha i * beta i) * apply n W e i ^ 2) n
  - 2 * sum (fun i => q i * (alpha i + beta i) * apply n W e i * b i) n
  + 2 * sum (fun i => q i * b i ^ 2) n - quadratic n P b.

Theorem contractive_of_incremental_lmi {X} (n : nat) (rho : nat -> R -> R) (P W : nat -> nat -> R)
    (u : X -> vec) (q alpha beta : vec) (rate : R) :
  (forall i, alpha i <= beta i) -> slopes_between rho alpha beta ->
  (forall e, 0 <= quadratic n P e) -> (forall i, 0 < q i) -> 0 <= rate ->
  (forall e b, 0 <= block n P W q alpha beta rate e b) ->
  forall h g x, sqrt (quadratic n P (difference (cell rho n W u h x) (cell rho n W u g x)))
  <= formulas.contractive_of_incremental_lmi rate * sqrt (quadratic n P (difference h g)).
Proof.
  intros Hle Hrho HP Hq Hrate Hlmi h g x. unfold formulas.contractive_of_incremental_lmi.
  set (e := difference h g). set (b := difference (cell rho n W u h x) (cell rho n W u g x)).
  assert (slack : sum (fun i => 2 * (q i * ((b i - alpha i * apply n W e i) * (b i - beta i * apply n W e i)))) n <= 0).
  { replace 0 with (sum (fun i => 0 * 0) n) by (rewrite sum_scale; ring).
    apply sum_le. intros i _.
    pose proof (chord_is rho alpha i (apply n W h i + u x i) (apply n W g i + u x i)) as Hb.
    pose proof (chord_between rho alpha beta i (apply n W h i + u x i) (apply n W g i + u x i) Hrho (Hle i)) as Hc.
    set (c := chord rho alpha i (apply n W h i + u x i) (apply n W g i + u x i)) in *.
    assert (Hbi : b i = c * apply n W e i).
    { unfold b, e, difference at 1, cell. rewrite Hb, <- apply_difference. ring. }
    rewrite Hbi. specialize (Hq i).
    replace ((c * apply n W e i - alpha i * apply n W e i) * (c * apply n W e i - beta i * apply n W e i))
      with (- ((c - alpha i) * (beta i - c)) * (apply n W e i * apply n W e i)) by ring.
    assert (0 <= (c - alpha i) * (beta i - c)) by (apply Rmult_le_pos; lra).
    assert (0 <= apply n W e i * apply n W e i) by apply Rle_0_sqr.
    assert (0 <= (c - alpha i) * (beta i - c) * (apply n W e i * apply n W e i)) by (now apply Rmult_le_pos).
    nra. }
  assert (below : quadratic n P b <= rate ^ 2 * quadratic n P e).
  { specialize (Hlmi e b). unfold block in Hlmi.
    assert (same : sum (fun i => 2 * (q i * ((b i - alpha i * apply n W e i) * (b i - beta i * apply n W e i)))) n
      = 2 * sum (fun i => q i * (alpha i * beta i) * apply n W e i ^ 2) n
        - 2 * sum (fun i => q i * (alpha i + beta i) * apply n W e i * b i) n
        + 2 * sum (fun i => q i * b i ^ 2) n); [|lra].
    rewrite (sum_ext _ (fun i => 2 * (q i * (alpha i * beta i) * apply n W e i ^ 2)
      + (-2 * (q i * (alpha i + beta i) * apply n W e i * b i) + 2 * (q i * b i ^ 2)))) by (intros; ring).
    rewrite !sum_plus, !sum_scale. ring. }
  replace (rate * sqrt (quadratic n P e)) with (sqrt (rate ^ 2 * quadratic n P e)).
  - now apply sqrt_le_1_alt.
  - rewrite sqrt_mult_alt by apply pow2_ge_0. rewrite <- Rsqr_pow2, sqrt_Rsqr by exact Hrate. reflexivity.
Qed.

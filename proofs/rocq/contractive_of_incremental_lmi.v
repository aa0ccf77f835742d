(* The incremental matrix inequality: contraction in a Euclidean norm of a Gram matrix. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import vectors.

(* h^T P h *)
Definition quadratic (n : nat) (P : nat -> nat ->
  R) (h : vec) : R := sum (fun i => h i * apply n P h i) n.

(* the block matrix with rows r^2 P + 2 W^T Q diag(alpha beta) W, - W^T Q diag(alpha + beta) and
   - Q diag(alpha + beta) W, 2 Q - P, as a quadratic form of (e, b) *)
Definition block (n : nat) (P W : nat -> nat ->
  R) (q alpha beta : vec) (rate : R) (e b : vec) : R :=
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
  assert (slack : sum (fun i => 2 * (q i * ((b i - alpha i * apply n W e i) * (b i - beta i * apply
    n W e i)))) n <= 0).
  { replace 0 with (sum (fun i => 0 * 0) n) by (rewrite sum_scale; ring).
    apply sum_le. intros i _.
    pose proof (chord_is rho alpha i (apply n W h i + u x i) (apply n W g i + u x i)) as Hb.
    pose proof (chord_between rho alpha beta i (apply n W h i + u x i) (apply n W g i + u x i) Hrho
      (Hle i)) as Hc.
    set (c := chord rho alpha i (apply n W h i + u x i) (apply n W g i + u x i)) in *.
    assert (Hbi : b i = c * apply n W e i).
    { unfold b, e, difference at 1, cell. rewrite Hb, <- apply_difference. ring. }
    rewrite Hbi. specialize (Hq i).
    replace ((c * apply n W e i - alpha i * apply n W e i) * (c * apply n W e i - beta i * apply n W
      e i))
      with (- ((c - alpha i) * (beta i - c)) * (apply n W e i * apply n W e i)) by ring.
    assert (0 <= (c - alpha i) * (beta i - c)) by (apply Rmult_le_pos; lra).
    assert (0 <= apply n W e i * apply n W e i) by apply Rle_0_sqr.
    assert (0 <= (c - alpha i) * (beta i - c) * (apply n W e i * apply n W e i))
      by (now apply Rmult_le_pos).
    nra. }
  assert (below : quadratic n P b <= rate ^ 2 * quadratic n P e).
  { specialize (Hlmi e b). unfold block in Hlmi.
    assert (same : sum (fun i => 2 * (q i * ((b i - alpha i * apply n W e i) * (b i - beta i * apply
      n W e i)))) n
      = 2 * sum (fun i => q i * (alpha i * beta i) * apply n W e i ^ 2) n
        - 2 * sum (fun i => q i * (alpha i + beta i) * apply n W e i * b i) n
        + 2 * sum (fun i => q i * b i ^ 2) n); [|lra].
    rewrite (sum_ext _ (fun i => 2 * (q i * (alpha i * beta i) * apply n W e i ^ 2)
      + (-2 * (q i * (alpha i + beta i) * apply n W e i * b i) + 2 * (q i * b i ^ 2)))) by (intros;
        ring).
    rewrite !sum_plus, !sum_scale. ring. }
  replace (rate * sqrt (quadratic n P e)) with (sqrt (rate ^ 2 * quadratic n P e)).
  - now apply sqrt_le_1_alt.
  - rewrite sqrt_mult_alt by apply pow2_ge_0. rewrite <- Rsqr_pow2, sqrt_Rsqr
    by exact Hrate. reflexivity.
Qed.

(* a relu unit of slope W = rate, with P = Q = 1: on positive states nothing is lost *)
Theorem attained (rate h g : R) : 0 <= rate -> 0 <= g <= h ->
  let rho (_ : nat) (a : R) := Rmax 0 a in
  let one (_ _ : nat) := 1 in
  let W (_ _ : nat) := rate in
  let u (_ : unit) (_ : nat) := 0 in
  let still (a : R) (_ : nat) := a in
  slopes_between rho (fun _ => 0) (fun _ => 1) /\
  (forall e b, 0 <= block 1 one W (fun _ => 1) (fun _ => 0) (fun _ => 1) rate e b) /\
  sqrt (quadratic 1 one (difference (cell rho 1 W u (still h) tt) (cell rho 1 W u (still g) tt)))
  = formulas.contractive_of_incremental_lmi rate * sqrt (quadratic 1 one (difference (still h)
    (still g))).
Proof.
  intros Hr Hgh rho one W u still. repeat split.
  - unfold rho, Rmax. destruct (Rle_dec 0 a), (Rle_dec 0 b); lra.
  - unfold rho, Rmax. destruct (Rle_dec 0 a), (Rle_dec 0 b); lra.
  - intros e b. unfold block, quadratic, apply, one, W; cbn [sum].
    replace (rate ^ 2 * (0 + e 0%nat * (0 + 1 * e 0%nat)) + 2 * (0 + 1 * (0 * 1) * (0 + rate * e
      0%nat) ^ 2)
      - 2 * (0 + 1 * (0 + 1) * (0 + rate * e 0%nat) * b 0%nat) + 2 * (0 + 1 * b 0%nat ^ 2)
      - (0 + b 0%nat * (0 + 1 * b 0%nat))) with ((rate * e 0%nat - b 0%nat) ^ 2) by ring.
    apply pow2_ge_0.
  - unfold formulas.contractive_of_incremental_lmi, quadratic, apply, difference, cell, rho, one, W,
    u, still.
    unfold apply. cbn [sum]. rewrite !Rmax_right by nra.
    replace (0 + (0 + rate * h + 0 - (0 + rate * g + 0)) * (0 + 1 * (0 + rate * h + 0 - (0 + rate *
      g + 0))))
      with (Rsqr (rate * (h - g))) by (unfold Rsqr; ring).
    replace (0 + (h - g) * (0 + 1 * (h - g))) with (Rsqr (h - g)) by (unfold Rsqr; ring).
    rewrite !sqrt_Rsqr by nra. reflexivity.
Qed.

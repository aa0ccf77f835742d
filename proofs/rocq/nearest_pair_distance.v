(* A bound of the product of two entries bounds the distance of a pair. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem nearest_pair_distance (x y u v product total multiplier : R) :
  0 <= multiplier -> u * v <= product -> total = x + y ->
  (x - u) ^ 2 + (y - v) ^ 2 + multiplier * (x - y) ^ 2 / 2
    + 2 * multiplier * product / (1 + multiplier)
  >= formulas.nearest_pair_distance total multiplier.
Proof.
  intros Hm Huv ->. unfold formulas.nearest_pair_distance. apply Rle_ge.
  (* mu = multiplier / (1 + multiplier): two squares, of the sum and of the difference *)
  set (m := multiplier) in *.
  assert (H : 2 * m * (u * v) / (1 + m) <= 2 * m * product / (1 + m)).
  { apply div_le; [lra|]. apply Rmult_le_compat_l; lra. }
  eapply Rle_trans; [|apply Rplus_le_compat_l, H].
  assert (square : (x - u) ^ 2 + (y - v) ^ 2 + m * (x - y) ^ 2 / 2 + 2 * m * (u * v) / (1 + m)
                   - m * (x + y) ^ 2 / (2 * (1 + 2 * m))
    = ((1 + 2 * m) * (u + v) - (1 + m) * (x + y)) ^ 2 / (2 * (1 + m) * (1 + 2 * m))
      + ((u - v) - (1 + m) * (x - y)) ^ 2 / (2 * (1 + m))) by (field; lra).
  assert (0 <= ((1 + 2 * m) * (u + v) - (1 + m) * (x + y)) ^ 2 / (2 * (1 + m) * (1 + 2 * m))).
  { apply div_nonneg; [apply pow2_ge_0|]. apply Rmult_lt_0_compat; lra. }
  assert (0 <= ((u - v) - (1 + m) * (x - y)) ^ 2 / (2 * (1 + m))).
  { apply div_nonneg; [apply pow2_ge_0 | lra]. }
  lra.
Qed.

(* the nearest point of the hyperbola u v = product to x = y = total / 2 *)
Theorem attained (total multiplier : R) : 0 <= multiplier ->
  let u := (1 + multiplier) * total / (2 * (1 + 2 * multiplier)) in
  (total / 2 - u) ^ 2 + (total / 2 - u) ^ 2 + multiplier * (total / 2 - total / 2) ^ 2 / 2
    + 2 * multiplier * (u * u) / (1 + multiplier)
  = formulas.nearest_pair_distance total multiplier.
Proof. intros Hm u. unfold u, formulas.nearest_pair_distance. field. lra. Qed.

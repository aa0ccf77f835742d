(* A half space that contains a set bounds the distance from it. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import inner.

Theorem nearest_point_distance {V : inner_space} (C : V -> Prop) (w v normal : V)
    (inner support : R) :
  (forall c, C c -> dot normal c <= support) ->
  inner = dot normal w -> 0 < length normal ->
  C v ->
  formulas.nearest_point_distance inner support (length normal) <= length (sub w v).
Proof.
  intros Hhalf -> Hn Hv. unfold formulas.nearest_point_distance.
  specialize (Hhalf v Hv). pose proof (cauchy_schwarz normal (sub w v)) as HS.
  rewrite dot_sub_r in HS. apply (Rmult_le_reg_r (length normal)); [exact Hn|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(* the half line below support, from a point outside *)
Theorem attained support w : support <= w ->
  let C (c : line_inner) := c <= support in
  let normal : line_inner := 1 in
  (forall c : line_inner, C c -> dot normal c <= support) /\ length normal = 1 /\ C support /\
  formulas.nearest_point_distance (dot normal (w : line_inner)) support (length normal)
  = length (sub (w : line_inner) support).
Proof.
  intros Hw C normal. unfold formulas.nearest_point_distance, normal. rewrite !length_line.
  cbn. rewrite Rabs_R1. repeat split; unfold C; try lra.
  - intros c Hc. lra.
  - rewrite Rabs_right; [field|lra].
Qed.

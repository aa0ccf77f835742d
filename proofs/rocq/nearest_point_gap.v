(* Projections onto convex sets do not expand distances. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import inner.

(* p is a point of the set at the least distance from w *)
Definition nearest {V : inner_space} (C : V -> Prop) (w p : V) : Prop :=
  C p /\ forall c, C c -> length (sub w p) <= length (sub w c).

Definition convex {V : inner_space} (C : V -> Prop) : Prop :=
  forall a b s, C a -> C b -> 0 <= s <= 1 -> C (between s a b).

(* the angle at a nearest point is not acute *)
Lemma obtuse {V : inner_space} (C : V -> Prop) (w p c : V) :
  convex C -> nearest C w p -> C c -> dot (sub w p) (sub c p) <= 0.
Proof.
  intros HC [Hp Hnear] Hc. set (x := dot (sub w p) (sub c p)). set (y := dot (sub c p) (sub c p)).
  destruct (Rle_lt_dec x 0) as [Hx|Hx]; [exact Hx|exfalso].
  assert (Hy : 0 <= y) by apply dot_pos.
  assert (small : forall s, 0 <= s <= 1 -> 0 <= - 2 * s * x + s * s * y).
  { intros s Hs. pose proof (Hnear _ (HC p c s Hp Hc Hs)) as Hn. apply length_le_dot in Hn.
    assert (dot (sub w (between s p c)) (sub w (between s p c))
            = dot (sub w p) (sub w p) - 2 * s * x + s * s * y); [|lra].
    unfold x, y.
    rewrite !dot_sub_l, !dot_sub_r, !dot_between_l, !dot_between_r.
    rewrite (dot_sym V p w), (dot_sym V c w), (dot_sym V c p). ring. }
  destruct (Rle_lt_dec y x) as [Hyx|Hyx].
  - specialize (small 1 ltac:(lra)). lra.
  - assert (0 <= x / y <= 1).
    { split; [apply div_nonneg; lra|]. apply (Rmult_le_reg_r y); [lra|].
      unfold Rdiv. rewrite Rmult_assoc, Rinv_l; lra. }
    specialize (small (x / y) ltac:(assumption)).
    replace (- 2 * (x / y) * x + x / y * (x / y) * y) with (- (x * x / y)) in small by (field; lra).
    assert (0 < x * x / y) by (apply Rdiv_lt_0_compat; nra). lra.
Qed.

Theorem nearest_point_gap {V : inner_space} (C : V -> Prop) (w v p q : V) (distance : R) :
  convex C -> nearest C w p -> nearest C v q ->
  length (sub w v) <= distance ->
  length (sub p q) <= formulas.nearest_point_gap distance.
Proof.
  intros HC Hp Hq Hd. eapply Rle_trans; [|exact Hd].
  pose proof (obtuse C w p q HC Hp (proj1 Hq)) as H1.
  pose proof (obtuse C v q p HC Hq (proj1 Hp)) as H2.
  (* |p - q|^2 <= <w - v, p - q> *)
  assert (H : dot (sub p q) (sub p q) <= dot (sub w v) (sub p q)).
  { rewrite !dot_sub_l, !dot_sub_r in *. pose proof (dot_sym V p q). pose proof (dot_sym V p w).
    pose proof (dot_sym V p v). pose proof (dot_sym V q w). pose proof (dot_sym V q v). lra. }
  pose proof (cauchy_schwarz (sub w v) (sub p q)) as HS.
  rewrite <- (length_square (sub p q)) in H.
  pose proof (length_nonneg (sub p q)). pose proof (length_nonneg (sub w v)).
  destruct (Rle_lt_dec (length (sub p q)) 0); [lra|].
  apply (Rmult_le_reg_r (length (sub p q))); [assumption|]. lra.
Qed.

(* members stay where they are *)
Theorem attained {V : inner_space} (C : V -> Prop) (w v : V) : C w -> C v ->
  nearest C w w /\ nearest C v v /\
  length (sub w v) = formulas.nearest_point_gap (length (sub w v)).
Proof.
  assert (stays : forall u, C u -> nearest C u u).
  { intros u Hu. split; [exact Hu|]. intros c _.
    replace (length (sub u u)) with 0; [apply length_nonneg|].
    unfold length. rewrite dot_sub_l, Rminus_diag_eq, sqrt_0; reflexivity. }
  intros Hw Hv. repeat split; try assumption; now apply stays.
Qed.

(* Near miss: without convexity the nearest points of two points may lie apart. *)
Theorem not_without_convexity : exists (C : line_inner -> Prop) (w v p q : line_inner),
  nearest C w p /\ nearest C v q /\
  formulas.nearest_point_gap (length (sub w v)) < length (sub p q).
Proof.
  exists (fun c => c = -1 \/ c = 1), (0 : line_inner), (0 : line_inner), (1 : line_inner),
    (-1 : line_inner).
  unfold nearest, formulas.nearest_point_gap. rewrite !length_line.
  repeat split; try (intros c [-> | ->]; rewrite !length_line); cbn; auto;
    unfold Rabs; repeat destruct Rcase_abs; lra.
Qed.

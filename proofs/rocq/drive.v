(* The drive of a zero-start model. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem drive {T X} (d : metric T) (e : metric X) (o : T) (o_x : X) (step : T -> X -> T)
    (gain input_bound offset : R) (x : X) :
  0 <= gain ->
  (forall h x y, d (step h x) (step h y) <= gain * e x y) ->
  e x o_x <= input_bound ->
  d (step o o_x) o <= offset ->
  d (step o x) o <= formulas.drive gain input_bound offset.
Proof.
  intros Hg Hgain Hx Ho. unfold formulas.drive.
  eapply Rle_trans; [apply (distance_triangle d _ (step o o_x))|].
  specialize (Hgain o x o_x). nra.
Qed.

Theorem attained lam gain input_bound offset :
  0 <= gain -> 0 <= input_bound -> 0 <= offset ->
  line (affine lam gain offset 0 input_bound) 0 = formulas.drive gain input_bound offset.
Proof. intros Hg Hi Ho. rewrite affine_drive; [reflexivity|nra]. Qed.

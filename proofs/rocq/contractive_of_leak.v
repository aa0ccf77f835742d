(* Contraction of a leaky map from that of the map without leak, in any norm. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Definition leaky {V : normed} {X} (leak : R) (f : V -> X -> V) (h : V) (x : X) : V :=
  plus (scale (1 - leak) h) (scale leak (f h x)).

Theorem contractive_of_leak {V : normed} {X} (f : V -> X -> V) (domain : V -> Prop)
    (inputs : X -> Prop) (leak rate : R) :
  0 <= leak <= 1 ->
  (forall h g x, domain h -> domain g -> inputs x ->
    size (minus (f h x) (f g x)) <= rate * size (minus h g)) ->
  forall h g x, domain h -> domain g -> inputs x ->
  size (minus (leaky leak f h x) (leaky leak f g x))
  <= formulas.contractive_of_leak leak rate * size (minus h g).
Proof.
  intros Hleak Hf h g x Hh Hg Hx. unfold leaky, formulas.contractive_of_leak.
  rewrite minus_plus, !minus_scale. eapply Rle_trans; [apply size_plus|].
  rewrite !(size_scale V), !Rabs_right by lra. specialize (Hf h g x Hh Hg Hx). nra.
Qed.

(* f(h) = rate h moves by the factor in every direction *)
Theorem attained {V : normed} (leak rate : R) (h g : V) : 0 <= leak <= 1 -> 0 <= rate ->
  let f (h : V) (_ : unit) := scale rate h in
  size (minus (leaky leak f h tt) (leaky leak f g tt))
  = formulas.contractive_of_leak leak rate * size (minus h g).
Proof.
  intros Hleak Hrate f. unfold leaky, f, formulas.contractive_of_leak.
  rewrite minus_plus, !minus_scale, (scale_scale V), <- (scale_plus V), (size_scale V).
  rewrite Rabs_right; [reflexivity | nra].
Qed.

(* a leak beyond 1 turns the state around *)
Theorem not_beyond_one : exists (f : reals -> unit -> reals) leak rate (h g : reals), 1 < leak /\
  (forall h g x, size (minus (f h x) (f g x)) <= rate * size (minus h g)) /\
  formulas.contractive_of_leak leak rate * size (minus h g)
  < size (minus (leaky leak f h tt) (leaky leak f g tt)).
Proof.
  exists (fun _ _ => 0), 2, 0, 1, 0. split; [lra|]. split.
  - intros h g x. change (Rabs (0 + -1 * 0) <= 0 * Rabs (h + -1 * g)).
    rewrite Rmult_0_r, Rplus_0_r, Rabs_R0. lra.
  - unfold formulas.contractive_of_leak. change ((1 - 2 + 2 * 0) * Rabs (1 + -1 * 0)
      < Rabs (((1 - 2) * 1 + 2 * 0) + -1 * ((1 - 2) * 0 + 2 * 0))).
    rewrite (Rabs_right (1 + -1 * 0)), Rabs_left; lra.
Qed.

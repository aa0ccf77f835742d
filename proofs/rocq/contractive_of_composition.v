(* Composition of two contractions in different norms. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem contractive_of_composition {T} (d d' : metric T) (first second : T -> T)
    (lam_first lam_second there back : R) :
  lipschitz_map d d first lam_first ->
  0 <= lam_second -> lipschitz_map d' d' second lam_second ->
  0 <= there -> (forall h g, d' h g <= there * d h g) ->
  0 <= back -> (forall h g, d h g <= back * d' h g) ->
  forall h g, d (second (first h)) (second (first g))
  <= formulas.contractive_of_composition lam_first lam_second there back * d h g.
Proof.
  intros Hf H2 Hs Ht Hthere Hb Hback h g. unfold formulas.contractive_of_composition.
  eapply Rle_trans; [apply Hback|].
  replace (lam_first * lam_second * there * back * d h g)
    with (back * (lam_second * (there * (lam_first * d h g)))) by ring.
  apply Rmult_le_compat_l; [exact Hb|]. eapply Rle_trans; [apply Hs|].
  apply Rmult_le_compat_l; [exact H2|]. eapply Rle_trans; [apply Hthere|].
  now apply Rmult_le_compat_l.
Qed.

(* h -> a h_1 (1, 1) contracts by a in the maximum norm, h -> b (h_1 + h_2, 0)
  by b in the sum norm *)
Theorem attained lam_first lam_second : 0 <= lam_first -> 0 <= lam_second ->
  let first (h : R * R) := (lam_first * fst h, lam_first * fst h) in
  let second (h : R * R) := (lam_second * (fst h + snd h), 0) in
  lipschitz_map plane_max plane_max first lam_first /\
  lipschitz_map plane_sum plane_sum second lam_second /\
  (forall h g, plane_sum h g <= 2 * plane_max h g) /\
  (forall h g, plane_max h g <= 1 * plane_sum h g) /\
  plane_max (second (first (1, 0))) (second (first (0, 0)))
  = formulas.contractive_of_composition lam_first lam_second 2 1 * plane_max (1, 0) (0, 0).
Proof.
  intros H1 H2 first second. repeat split.
  - intros h g. unfold plane_max; cbn.
    rewrite <- Rmult_minus_distr_l, Rabs_mult, (Rabs_right lam_first) by lra.
    apply Rmax_lub; (apply Rmult_le_compat_l; [lra | apply Rmax_l]).
  - intros h g. cbn. rewrite (Rminus_diag_eq 0 0), Rabs_R0, Rplus_0_r by reflexivity.
    rewrite <- Rmult_minus_distr_l, Rabs_mult, (Rabs_right lam_second) by lra.
    apply Rmult_le_compat_l; [lra|].
    replace (fst h + snd h - (fst g + snd g)) with ((fst h - fst g) + (snd h - snd g)) by ring.
    apply Rabs_triang.
  - intros h g. cbn. pose proof (Rmax_l (Rabs (fst h - fst g)) (Rabs (snd h - snd g))).
    pose proof (Rmax_r (Rabs (fst h - fst g)) (Rabs (snd h - snd g))). lra.
  - intros h g. cbn. pose proof (Rabs_pos (fst h - fst g)). pose proof (Rabs_pos (snd h - snd g)).
    apply Rmax_lub; lra.
  - cbn. unfold formulas.contractive_of_composition.
    rewrite !Rmult_0_r, !Rminus_0_r, !Rplus_0_r, Rmult_0_r, Rminus_0_r, Rabs_R0, Rabs_R1.
    rewrite !Rmax_left by (lra || apply Rabs_pos).
    rewrite Rabs_right; [ring|nra].
Qed.

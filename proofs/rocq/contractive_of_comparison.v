(* Contraction from matrices that majorise a step entry by entry. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import vectors.

Theorem contractive_of_comparison {X} (n : nat) (step : vec -> X -> vec) (domain : vec -> Prop)
    (inputs : X -> Prop) (member : (nat -> nat -> R) -> Prop) (v : vec) (row weight : R) :
  (forall i, 0 < v i) -> 0 <= row -> 0 < weight ->
  (forall M, member M -> forall i j, 0 <= M i j) ->
  (forall M i, member M -> (i < n)%nat -> apply n M v i / v i <= row / weight) ->
  (* the step is majorised on the domain: entry by entry by one of the matrices *)
  (forall h g x i, domain h -> domain g -> inputs x -> (i < n)%nat -> exists M, member M /\
    Rabs (difference (step h x) (step g x) i) <= apply n M (fun j => Rabs (difference h g j)) i) ->
  forall h g x, domain h -> domain g -> inputs x ->
  weighted n v (difference (step h x) (step g x))
  <= formulas.contractive_of_comparison row weight * weighted n v (difference h g).
Proof.
  intros Hv Hr Hw HM Hrow Hmaj h g x Hh Hg Hx. unfold formulas.contractive_of_comparison.
  apply vmax_le.
  - apply Rmult_le_pos; [now apply div_nonneg | apply vmax_nonneg].
  - intros i Hi. destruct (Hmaj h g x i Hh Hg Hx Hi) as [M [Hin Hy]].
    apply (majorised_entry n v M (difference h g)); try assumption; [now apply HM|].
    specialize (Hrow M i Hin Hi). pose proof (Hv i).
    apply (Rmult_le_compat_r (v i)) in Hrow; [|lra].
    unfold Rdiv in Hrow at 1. rewrite Rmult_assoc, Rinv_l, Rmult_1_r in Hrow by lra. exact Hrow.
Qed.

(* linear maps with W >= 0: between v and 0, if the largest row is row / weight *)
Theorem attained (n : nat) (W : nat -> nat -> R) (v : vec) (row weight : R) (best : nat) :
  (forall i, 0 < v i) -> 0 <= row -> 0 < weight -> (forall i j, 0 <= W i j) ->
  (forall i, (i < n)%nat -> apply n W v i / v i <= row / weight) ->
  (best < n)%nat -> apply n W v best / v best = row / weight ->
  weighted n v (difference (apply n W v) (apply n W (fun _ => 0)))
  = formulas.contractive_of_comparison row weight * weighted n v (difference v (fun _ => 0)).
Proof.
  intros Hv Hr Hw HW Hrow Hbest Heq. unfold formulas.contractive_of_comparison.
  assert (zero : forall i, apply n W (fun _ => 0) i = 0).
  { intros i. unfold apply. rewrite (sum_ext _ (fun j => 0 * 0)) by (intros; ring).
    rewrite sum_scale. ring. }
  assert (image : forall i, Rabs (difference (apply n W v) (apply n W (fun _ => 0)) i)
    = apply n W v i).
  { intros i. unfold difference. rewrite zero, Rminus_0_r. apply Rabs_right, Rle_ge.
    apply sum_nonneg. intros j. apply Rmult_le_pos; [apply HW | left; apply Hv]. }
  assert (one : weighted n v (difference v (fun _ => 0)) = 1).
  { apply Rle_antisym.
    - apply vmax_le; [lra|]. intros i _. unfold difference. pose proof (Hv i).
      rewrite Rminus_0_r, Rabs_right by lra. right. field. lra.
    - eapply Rle_trans; [|apply (vmax_ge _ n best Hbest)]. unfold difference. pose proof (Hv best).
      rewrite Rminus_0_r, Rabs_right by lra. right. field. lra. }
  rewrite one, Rmult_1_r. apply Rle_antisym.
  - apply vmax_le; [now apply div_nonneg|]. intros i Hi. rewrite image. now apply Hrow.
  - eapply Rle_trans; [|apply (vmax_ge _ n best Hbest)]. cbn beta. rewrite image. lra.
Qed.

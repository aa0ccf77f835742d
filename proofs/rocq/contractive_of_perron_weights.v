(* The best weights of the maximum norm. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import vectors.

Theorem contractive_of_perron_weights {X} (n : nat) (rho : nat -> R -> R) (W : nat -> nat -> R)
    (u : X -> vec) (v : vec) (slope row weight : R) :
  (forall i, 0 < v i) -> 0 <= row -> 0 < weight ->
  0 <= slope -> slope_bounded rho slope ->
  (forall i, (i < n)%nat -> apply n (fun i j => Rabs (W i j)) v i / v i <= row / weight) ->
  forall h g x, weighted n v (difference (cell rho n W u h x) (cell rho n W u g x))
  <= formulas.contractive_of_perron_weights slope row weight * weighted n v (difference h g).
Proof.
  intros Hv Hr Hw Hs Hrho Hrow h g x. unfold formulas.contractive_of_perron_weights.
  apply vmax_le.
  - apply Rmult_le_pos; [apply div_nonneg; nra | apply vmax_nonneg].
  - intros i Hi. apply (majorised_entry n v (fun i j => slope * Rabs (W i j)) (difference h g));
      try assumption.
    + intros j. apply Rmult_le_pos; [exact Hs | apply Rabs_pos].
    + specialize (Hrow i Hi). pose proof (Hv i).
      apply (Rmult_le_compat_r (v i)) in Hrow; [|lra].
      unfold Rdiv in Hrow at 1. rewrite Rmult_assoc, Rinv_l, Rmult_1_r in Hrow by lra.
      unfold apply. rewrite (sum_ext _ (fun j => slope * (Rabs (W i j) * v j))) by (intros; ring).
      rewrite sum_scale. unfold Rdiv. rewrite !(Rmult_assoc slope).
      now apply Rmult_le_compat_l.
    + unfold difference at 1, cell. eapply Rle_trans; [apply Hrho|].
      unfold apply at 3. rewrite (sum_ext _ (fun j => slope * (Rabs (W i j) * Rabs (difference h g
        j))))
        by (intros; ring).
      rewrite sum_scale. apply Rmult_le_compat_l; [exact Hs|].
      replace (apply n W h i + u x i - (apply n W g i + u x i)) with (apply n W (difference h g) i)
        by (rewrite <- apply_difference; ring).
      unfold apply. eapply Rle_trans;
        [apply sum_abs|]. right. apply sum_ext. intros j _. apply Rabs_mult.
Qed.

(* linear maps with W >= 0: between v and 0, if the largest row is row / weight *)
Theorem attained {X} (n : nat) (W : nat -> nat -> R) (u : X -> vec) (v : vec) (slope row weight : R)
    (best : nat) (x : X) :
  (forall i, 0 < v i) -> 0 <= row -> 0 < weight -> 0 <= slope -> (forall i j, 0 <= W i j) ->
  (best < n)%nat -> apply n W v best / v best = row / weight ->
  let rho (_ : nat) (a : R) := slope * a in
  weighted n v (difference v (fun _ => 0)) = 1 /\
  weighted n v (difference (cell rho n W u v x) (cell rho n W u (fun _ => 0) x))
  >= formulas.contractive_of_perron_weights slope row weight * 1.
Proof.
  intros Hv Hr Hw Hs HW Hbest Heq rho. split.
  - apply Rle_antisym.
    + apply vmax_le; [lra|]. intros i _. unfold difference. pose proof (Hv i).
      rewrite Rminus_0_r, Rabs_right by lra. right. field. lra.
    + eapply Rle_trans; [|apply (vmax_ge _ n best Hbest)]. unfold difference. pose proof (Hv best).
      rewrite Rminus_0_r, Rabs_right by lra. right. field. lra.
  - apply Rle_ge. eapply Rle_trans; [|apply (vmax_ge _ n best Hbest)].
    unfold formulas.contractive_of_perron_weights, difference, cell, rho.
    replace (slope * (apply n W v best + u x best) - slope * (apply n W (fun _ => 0) best + u x
      best))
      with (slope * apply n W v best).
    + pose proof (Hv best). rewrite Rabs_right.
      * unfold Rdiv in *. rewrite (Rmult_assoc slope row), <- Heq. right. ring.
      * apply Rle_ge, Rmult_le_pos; [exact Hs|]. apply sum_nonneg. intros j.
        apply Rmult_le_pos; [apply HW | left; apply Hv].
    + assert (apply n W (fun _ => 0) best = 0) as ->.
      { unfold apply. rewrite (sum_ext _ (fun j => 0 * 0)) by (intros;
        ring). rewrite sum_scale. ring. }
      ring.
Qed.

(* A small recurrent matrix makes an elementwise recurrent map contractive. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import vectors.

(* N is a norm that is monotone in the sizes of the entries *)
Theorem contractive_of_matrix_norm {X} (n : nat) (N : vec -> R) (rho : nat -> R -> R)
    (W : nat -> nat -> R) (u : X -> vec) (slope norm : R) :
  (forall a b, (forall i, Rabs (a i) <= Rabs (b i)) -> N a <= N b) ->
  (forall s a, N (fun i => s * a i) = Rabs s * N a) ->
  0 <= slope -> slope_bounded rho slope ->
  (forall v, N (apply n W v) <= norm * N v) ->
  forall h g x, N (difference (cell rho n W u h x) (cell rho n W u g x))
  <= formulas.contractive_of_matrix_norm slope norm * N (difference h g).
Proof.
  intros Hmono Hhom Hslope Hrho HW h g x.
  apply Rle_trans with (N (fun i => slope * apply n W (difference h g) i)).
  - apply Hmono. intros i. unfold difference at 1, cell. eapply Rle_trans; [apply Hrho|].
    rewrite Rabs_mult, (Rabs_right slope) by lra. apply Rmult_le_compat_l; [exact Hslope|].
    right. f_equal. rewrite <- apply_difference. ring.
  - rewrite Hhom, Rabs_right by lra. unfold formulas.contractive_of_matrix_norm.
    rewrite Rmult_assoc. now apply Rmult_le_compat_l.
Qed.

(* where rho is linear the norm need not be monotone, and the factor is that of W *)
Theorem attained {X} (n : nat) (N : vec -> R) (W : nat -> nat -> R) (u : X -> vec) (slope norm : R)
    (h g : vec) (x : X) :
  (forall s a, N (fun i => s * a i) = Rabs s * N a) ->
  0 <= slope -> N (apply n W (difference h g)) = norm * N (difference h g) ->
  N (difference (cell (fun _ a => slope * a) n W u h x) (cell (fun _ a => slope * a) n W u g x))
  = formulas.contractive_of_matrix_norm slope norm * N (difference h g).
Proof.
  intros Hhom Hslope HW.
  replace (difference (cell (fun _ a => slope * a) n W u h x) (cell (fun _ a => slope * a) n W u g
    x))
    with (fun i => slope * apply n W (difference h g) i).
  - rewrite Hhom, Rabs_right, HW by lra. unfold formulas.contractive_of_matrix_norm. ring.
  - apply vec_ext. intros i. unfold difference at 2, cell. rewrite <- apply_difference. ring.
Qed.

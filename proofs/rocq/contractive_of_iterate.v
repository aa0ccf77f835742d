(* Several steps together contract, though a single one may not. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import vectors.

(* the product of r matrices diag(s) W, applied *)
Fixpoint product_of (n : nat) (W : nat -> nat -> R) (s : nat -> vec) (r : nat) (e : vec) : vec :=
  match r with O => e | S q => fun i => s q i * apply n W (product_of n W s q e) i end.

Theorem contractive_of_iterate {X} (n : nat) (N : vec -> R) (rho : nat -> R -> R)
    (W : nat -> nat -> R) (u : X -> vec) (x : nat -> X) (alpha beta : vec) (r : nat) (product : R) :
  (forall i, alpha i <= beta i) -> slopes_between rho alpha beta ->
  (forall s e, (forall q i, alpha i <= s q i <= beta i) -> N (product_of n W s r e)
    <= product * N e) ->
  forall h g from, N (difference (run (cell rho n W u) x h from r) (run (cell rho n W u) x g from
    r))
  <= formulas.contractive_of_iterate product * N (difference h g).
Proof.
  intros Hle Hrho HP h g from. unfold formulas.contractive_of_iterate.
  set (at_ := fun q (h : vec) i => apply n W (run (cell rho n W u) x h from q) i + u (x (from +
    q)%nat) i).
  set (s := fun q i => chord rho alpha i (at_ q h i) (at_ q g i)).
  assert (is_product : forall q, difference (run (cell rho n W u) x h from q) (run (cell rho n W u)
    x g from q)
    = product_of n W s q (difference h g)).
  { intros q. induction q as [|q IH]; [reflexivity|]. apply vec_ext. intros i. simpl.
    rewrite <- IH, <- apply_difference. unfold difference at 1, cell at 1 3.
    change (rho i (at_ q h i) - rho i (at_ q g i)
      = s q i * (apply n W (run (cell rho n W u) x h from q) i - apply n W (run (cell rho n W u) x g
        from q) i)).
    rewrite (chord_is rho alpha). unfold s. f_equal. unfold at_. ring. }
  rewrite is_product. apply HP. intros q i. now apply chord_between.
Qed.

(* a linear map: its r steps are the product of r matrices W *)
Theorem attained {X} (n : nat) (N : vec -> R) (W : nat -> nat -> R) (u : X -> vec) (x : nat -> X)
    (r from : nat) (product : R) (h g : vec) :
  N (product_of n W (fun _ _ => 1) r (difference h g)) = product * N (difference h g) ->
  let linear (_ : nat) (a : R) := a in
  N (difference (run (cell linear n W u) x h from r) (run (cell linear n W u) x g from r))
  = formulas.contractive_of_iterate product * N (difference h g).
Proof.
  intros HP linear. unfold formulas.contractive_of_iterate. rewrite <- HP. f_equal.
  clear HP. induction r as [|q IH]; [reflexivity|]. apply vec_ext. intros i. simpl.
  rewrite <- IH, <- apply_difference. unfold difference at 1, cell at 1 3, linear. ring.
Qed.

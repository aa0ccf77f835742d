(* Lipschitz dependence on the initial state. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem initial_state {T X} (d : metric T) (step : T -> X -> T) (x : nat -> X)
    (lam : R) (t : nat) (distance : R) (h g : T) :
  0 <= lam < 1 -> contractive d step lam ->
  d h g <= distance ->
  d (state step x h t) (state step x g t) <= formulas.initial_state lam t distance.
Proof.
  intros Hlam Hstep Hd. eapply Rle_trans; [now apply (run_forgets d step lam)|].
  apply Rmult_le_compat_l; [now apply pow_unit | exact Hd].
Qed.

Theorem attained lam t distance : 0 <= lam < 1 -> 0 <= distance ->
  contractive line (affine lam 0 0) lam /\ line distance 0 = distance /\
  line (state (affine lam 0 0) (fun _ => 0) distance t) (state (affine lam 0 0) (fun _ => 0) 0 t)
  = formulas.initial_state lam t distance.
Proof.
  intros Hlam Hd. pose proof (pow_unit lam t Hlam). repeat split.
  - apply affine_contractive; lra.
  - rewrite line_is, Rabs_right; lra.
  - rewrite line_is. unfold state. rewrite affine_gap by lra.
    unfold formulas.initial_state. rewrite Rabs_right; [ring|nra].
Qed.

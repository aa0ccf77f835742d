(* State gap of the k-step counterpart, for every length of history. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem state_gap {T X} (d : metric T) (o : T) (step : T -> X -> T) (x : nat -> X)
    (lam : R) (k t : nat) (drive : R) :
  0 <= lam < 1 -> contractive d step lam ->
  (forall s, d (step o (x s)) o <= drive) ->
  d (state step x o t) (truncated step x o k t) <= formulas.state_gap lam k drive.
Proof. intros Hlam Hstep Hdrive. now apply (gap_always d step lam). Qed.

Theorem approached lam k drive eps : 0 <= lam < 1 -> 0 <= drive -> 0 < eps ->
  contractive line (affine lam 0 drive) lam /\ line (affine lam 0 drive 0 0) 0 = drive /\
  exists t, formulas.state_gap lam k drive - eps
  < line (state (affine lam 0 drive) (fun _ => 0) 0 t) (truncated (affine lam 0 drive) (fun _ => 0)
    0 k t).
Proof.
  intros Hlam Hd He. repeat split.
  - apply affine_contractive; lra.
  - rewrite affine_drive; lra.
  - now apply affine_truncated_limit.
Qed.

(* Near misses: from another start the bound is false; so it is without contraction. *)
Theorem not_from_any_start : exists (step : R -> R -> R) (x : nat -> R) h,
  contractive line step (1 / 2) /\
  (forall s, line (step 0 (x s)) 0 <= 0) /\
  formulas.state_gap (1 / 2) 1 0 < line (state step x h 1) (truncated step x 0 1 1).
Proof.
  exists (affine (1 / 2) 0 0), (fun _ => 0), 1. repeat split.
  - apply affine_contractive; lra.
  - intros _. rewrite affine_drive; lra.
  - rewrite line_is. unfold formulas.state_gap, truncated, state, affine; simpl. rewrite Rabs_right;
    lra.
Qed.

Theorem not_without_contraction : exists (step : R -> R -> R) (x : nat -> R),
  (forall s, line (step 0 (x s)) 0 <= 1) /\
  formulas.state_gap (1 / 2) 1 1 < line (state step x 0 3) (truncated step x 0 1 3).
Proof.
  exists (affine 1 0 1), (fun _ => 0). split.
  - intros _. rewrite affine_drive; lra.
  - rewrite line_is. unfold formulas.state_gap, truncated, state, affine; simpl. rewrite Rabs_right;
    lra.
Qed.

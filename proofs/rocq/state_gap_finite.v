(* State gap of the k-step counterpart after t inputs. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem state_gap_finite {T X} (d : metric T) (o : T) (step : T -> X -> T) (x : nat -> X)
    (lam : R) (k t : nat) (drive : R) :
  0 <= lam < 1 -> contractive d step lam ->
  (forall s, d (step o (x s)) o <= drive) ->
  (k <= t)%nat ->
  d (state step x o t) (truncated step x o k t) <= formulas.state_gap_finite lam k t drive.
Proof. intros Hlam Hstep Hdrive Hk. now apply (gap_finite d step lam). Qed.

(* up to k inputs both models are the same *)
Theorem no_gap_before {T X} (d : metric T) (o : T) (step : T -> X -> T) (x : nat -> X) (k t : nat) :
  (t <= k)%nat -> d (state step x o t) (truncated step x o k t) = 0.
Proof. intros Hk. rewrite truncated_short by exact Hk. apply distance_refl. Qed.

Theorem attained lam k t drive : 0 <= lam < 1 -> 0 <= drive -> (k <= t)%nat ->
  contractive line (affine lam 0 drive) lam /\ line (affine lam 0 drive 0 0) 0 = drive /\
  line (state (affine lam 0 drive) (fun _ => 0) 0 t) (truncated (affine lam 0 drive) (fun _ => 0) 0
    k t)
  = formulas.state_gap_finite lam k t drive.
Proof.
  intros Hlam Hd Hk. repeat split.
  - apply affine_contractive; lra.
  - rewrite affine_drive; lra.
  - now apply affine_truncated.
Qed.

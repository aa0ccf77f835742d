(* Required context for training: which k keeps the twins' predictions within eps. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

(* The gradients g of p and g_k of p^k lie within what `gradient_gap` says of them. *)
Theorem training_context {T X Y} {W : normed} (d : metric T) (e : metric Y) (o : T)
    (step : W -> T -> X -> T) (x : nat -> X) (f : T -> Y)
    (Pi g g_k : W -> W) (alpha : nat -> R) (w : W) (N k t : nat)
    (lam drive weight_gain loss_gain beta_hh beta_wh beta_p lipschitz beta eps : R) :
  0 <= lam < 1 -> (forall v, contractive d (step v) lam) ->
  0 <= weight_gain ->
  (forall v u h y, d (step v h y) (step u h y) <= weight_gain * metric_of W v u) ->
  (forall v s, d (step v o (x s)) o <= drive) ->
  0 <= lipschitz -> lipschitz_map d e f lipschitz ->
  (forall v u, size (minus (Pi v) (Pi u)) <= size (minus v u)) ->
  (forall i, 0 <= alpha i) ->
  0 < beta -> (forall v u, size (minus (g v) (g u)) <= beta * size (minus v u)) ->
  (forall v, size (minus (g v) (g_k v))
    <= formulas.gradient_gap lam k drive weight_gain loss_gain beta_hh beta_wh beta_p) ->
  (1 <= k)%nat ->
  (* what the code computes: the weight gap of a mismatch at k = 1, and the rest *)
  let distance := formulas.weight_gap (amplification alpha beta N) 1 beta
    * formulas.gradient_gap lam 1 drive weight_gain loss_gain beta_hh beta_wh beta_p in
  let per_mismatch := formulas.prediction_gap lam 0 0 weight_gain lipschitz distance in
  let rest := formulas.prediction_gap lam 0 drive weight_gain lipschitz 0 in
  formulas.training_context_gap_at lam k per_mismatch rest <= eps ->
  e (f (state (step (descent Pi g alpha w N)) x o t))
    (f (truncated (step (descent Pi g_k alpha w N)) x o k t))
  <= formulas.training_context eps.
Proof.
  intros Hlam Hstep Hg Hgain Hdrive Hl Hf HPi Ha Hb Hbeta Hm Hk distance per_mismatch rest Henough.
  unfold formulas.training_context. eapply Rle_trans; [|exact Henough].
  pose proof (twins_part Pi g g_k alpha w N _ beta HPi Ha Hb Hbeta Hm) as apart.
  set (a := descent Pi g alpha w N) in *. set (b := descent Pi g_k alpha w N) in *.
  eapply Rle_trans; [apply Hf|].
  apply Rle_trans with (lipschitz * (weight_gain
    * (formulas.gradient_gap lam k drive weight_gain loss_gain beta_hh beta_wh beta_p
       * (amplification alpha beta N - 1) / beta) / (1 - lam) + drive * lam ^ k / (1 - lam))).
  - apply Rmult_le_compat_l; [exact Hl|].
    eapply Rle_trans; [apply (distance_triangle d _ (state (step b) x o t))|].
    apply Rplus_le_compat; [|now apply (gap_always d (step b) lam)].
    apply Rle_trans with (weight_gain * metric_of W a b / (1 - lam)).
    + now apply parameters_part.
    + apply div_le; [lra|]. now apply Rmult_le_compat_l.
  - right. unfold formulas.training_context_gap_at, per_mismatch, rest, distance.
    unfold formulas.prediction_gap, formulas.weight_gap, formulas.gradient_gap.
    destruct k as [|k]; [lia|]. replace (S k - 1)%nat with k
      by lia. simpl pow. simpl (INR 1). field. lra.
Qed.

(* from k = lam / (1 - lam) on, one input more makes the bound no larger *)
Theorem stays_below lam k per_mismatch rest : 0 <= lam < 1 -> 0 <= per_mismatch -> 0 <= rest ->
  (1 <= k)%nat -> lam / (1 - lam) <= INR k ->
  formulas.training_context_gap_at lam (S k) per_mismatch rest
  <= formulas.training_context_gap_at lam k per_mismatch rest.
Proof.
  intros Hlam Hp Hr Hk Hfar. unfold formulas.training_context_gap_at.
  destruct k as [|k]; [lia|]. replace (S (S k) - 1)%nat with (S k) by lia.
  replace (S k - 1)%nat with k by lia. rewrite (S_INR (S k)). set (n := INR (S k)) in *.
  assert (falls : (n + 1) * lam <= n).
  { apply (Rmult_le_compat_r (1 - lam)) in Hfar; [|lra].
    unfold Rdiv in Hfar. rewrite Rmult_assoc, Rinv_l in Hfar by lra. lra. }
  simpl pow. pose proof (pow_unit lam k Hlam) as Hpow. apply Rplus_le_compat.
  - apply Rle_trans with (per_mismatch * lam ^ k * ((n + 1) * lam)); [right; ring|].
    apply Rle_trans with (per_mismatch * lam ^ k * n); [|right; ring].
    apply Rmult_le_compat_l; [nra | exact falls].
  - apply Rmult_le_compat_l; [exact Hr|]. assert (0 <= lam * lam ^ k) by nra. nra.
Qed.

(* without training it is the context of the state gap: h -> lam h + drive, no gradient steps *)
Theorem approached_without_training lam drive k slack : 0 <= lam < 1 -> 0 <= drive ->
  (1 <= k)%nat -> 0 < slack ->
  let step (w h x : R) := affine lam 0 drive h x in
  let none (w : reals) := w in
  let g (_ : reals) := 0 : reals in
  let gap := formulas.training_context_gap_at lam k 0 (formulas.prediction_gap lam 0 drive 0 1 0) in
  (forall v, contractive line (step v) lam) /\ (forall v, line (step v 0 0) 0 = drive) /\
  exists t, formulas.training_context gap - slack
  < line (state (step (descent none g (fun _ => 0) 0 0)) (fun _ => 0) 0 t)
         (truncated (step (descent none g (fun _ => 0) 0 0)) (fun _ => 0) 0 k t).
Proof.
  intros Hlam Hd Hk Hs step none g gap. split; [|split].
  - intros v. apply affine_contractive. lra.
  - intros v. unfold step. rewrite affine_drive; lra.
  - destruct (affine_truncated_limit lam drive k slack Hlam Hd Hs) as [t Ht]. exists t.
    eapply Rle_lt_trans; [|exact Ht]. unfold formulas.training_context, gap.
    unfold formulas.training_context_gap_at, formulas.prediction_gap. simpl (lam ^ 0).
    right. field. lra.
Qed.

(* Required context: how many inputs suffice for an output error of eps. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

(* for histories of at most `horizon` inputs *)
Theorem context_length {T X Y} (d : metric T) (e : metric Y) (o : T) (step : T -> X -> T)
    (x : nat -> X) (f : T -> Y) (lam drive lipschitz eps : R) (k horizon t : nat) :
  0 <= lam < 1 -> contractive d step lam ->
  (forall s, d (step o (x s)) o <= drive) ->
  0 <= lipschitz -> lipschitz_map d e f lipschitz ->
  0 < eps -> formulas.context_length_gap_at lam k drive lipschitz (lam ^ horizon) <= eps ->
  (t <= horizon)%nat ->
  e (f (state step x o t)) (f (truncated step x o k t)) <= formulas.context_length eps.
Proof.
  intros Hlam Hstep Hdrive Hl Hf He Henough Ht. unfold formulas.context_length.
  destruct (le_lt_dec k t) as [Hk|Hk].
  2: { rewrite truncated_short by lia. rewrite (distance_refl e). lra. }
  eapply Rle_trans; [apply Hf|]. eapply Rle_trans; [|exact Henough].
  unfold formulas.context_length_gap_at.
  replace (lipschitz * drive * (lam ^ k - lam ^ horizon) / (1 - lam))
    with (lipschitz * (drive * (lam ^ k - lam ^ horizon) / (1 - lam))) by (field; lra).
  apply Rmult_le_compat_l; [exact Hl|].
  eapply Rle_trans; [now apply (gap_finite d step lam Hlam Hstep x o drive)|].
  assert (0 <= drive).
  { pose proof (distance_nonneg d (step o (x 0%nat)) o). specialize (Hdrive 0%nat). lra. }
  pose proof (pow_unit lam t Hlam). pose proof (pow_unit lam (horizon - t) Hlam).
  apply div_le; [lra|]. apply Rmult_le_compat_l; [assumption|].
  rewrite (pow_split lam t horizon Ht). nra.
Qed.

(* for every history *)
Theorem for_every_history {T X Y} (d : metric T) (e : metric Y) (o : T) (step : T -> X -> T)
    (x : nat -> X) (f : T -> Y) (lam drive lipschitz eps : R) (k t : nat) :
  0 <= lam < 1 -> contractive d step lam ->
  (forall s, d (step o (x s)) o <= drive) ->
  0 <= lipschitz -> lipschitz_map d e f lipschitz ->
  formulas.context_length_gap_at lam k drive lipschitz 0 <= eps ->
  e (f (state step x o t)) (f (truncated step x o k t)) <= formulas.context_length eps.
Proof.
  intros Hlam Hstep Hdrive Hl Hf Henough. unfold formulas.context_length.
  eapply Rle_trans; [apply Hf|]. eapply Rle_trans; [|exact Henough].
  unfold formulas.context_length_gap_at. rewrite Rminus_0_r.
  replace (lipschitz * drive * lam ^ k / (1 - lam)) with (lipschitz * (drive * lam ^ k / (1 - lam)))
    by (field; lra).
  apply Rmult_le_compat_l; [exact Hl|]. now apply (gap_always d step lam).
Qed.

(* some context is enough *)
Theorem exists_context lam drive lipschitz eps : 0 <= lam < 1 -> 0 <= drive -> 0 <= lipschitz -> 0
  < eps ->
  exists k, formulas.context_length_gap_at lam k drive lipschitz 0 <= eps.
Proof.
  intros Hlam Hd Hl He. assert (0 <= lipschitz * drive) by nra.
  destruct (pow_fades lam (eps * (1 - lam) / (lipschitz * drive + 1)) Hlam) as [n Hn].
  { apply Rdiv_lt_0_compat; [apply Rmult_lt_0_compat|]; lra. }
  exists n. specialize (Hn n ltac:(lia)). pose proof (pow_unit lam n Hlam).
  apply (Rmult_lt_compat_r (lipschitz * drive + 1)) in Hn; [|lra].
  replace (eps * (1 - lam) / (lipschitz * drive + 1) * (lipschitz * drive + 1))
    with (eps * (1 - lam)) in Hn by (field; lra).
  unfold formulas.context_length_gap_at. apply (Rmult_le_reg_r (1 - lam)); [lra|].
  replace (lipschitz * drive * (lam ^ n - 0) / (1 - lam) * (1 - lam))
    with (lipschitz * drive * lam ^ n)
    by (field; lra). nra.
Qed.

(* fewer inputs than gap_at allows are too few, on a history of the horizon's length *)
Theorem attained lam drive lipschitz eps k horizon : 0 <= lam < 1 -> 0 <= drive -> 0 <= lipschitz ->
  (k <= horizon)%nat -> eps < formulas.context_length_gap_at lam k drive lipschitz (lam ^ horizon)
    ->
  contractive line (affine lam 0 drive) lam /\ line (affine lam 0 drive 0 0) 0 = drive /\
  lipschitz_map line line (Rmult lipschitz) lipschitz /\
  formulas.context_length eps
  < line (lipschitz * state (affine lam 0 drive) (fun _ => 0) 0 horizon)
      (lipschitz * truncated (affine lam 0 drive) (fun _ => 0) 0 k horizon).
Proof.
  intros Hlam Hd Hl Hk Hmore.
  assert (scaled : forall h g, line (lipschitz * h) (lipschitz * g) = lipschitz * line h g).
  { intros h g. rewrite !line_is, <- Rmult_minus_distr_l, Rabs_mult, (Rabs_right lipschitz); lra. }
  repeat split.
  - apply affine_contractive; lra.
  - rewrite affine_drive; lra.
  - intros h g. rewrite scaled. lra.
  - rewrite scaled, affine_truncated by assumption. unfold formulas.context_length.
    eapply Rlt_le_trans; [exact Hmore|]. right. unfold formulas.context_length_gap_at. field. lra.
Qed.

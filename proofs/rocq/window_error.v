(* The converse: what every model of the last k inputs must err. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Coq Require Import List.

(* the last k of t inputs, as a list *)
Definition window (x : nat -> R) (k t : nat) : list R := map x (seq (t - k) k).

(* j times b, then zeros *)
Definition history (b : R) (j i : nat) : R := if Nat.ltb i j then b else 0.

Lemma history_state lam gain b k t : 0 <= lam < 1 -> (k <= t)%nat ->
  state (affine lam gain 0) (history b (t - k)) 0 t
  = gain * b * lam ^ k * (1 - lam ^ (t - k)) / (1 - lam).
Proof.
  intros Hlam Hk. rewrite (state_split _ _ _ t k Hk).
  assert (before : forall n, (n <= t - k)%nat ->
    run (affine lam gain 0) (history b (t - k)) 0 0 n = gain * b * (1 - lam ^ n) / (1 - lam)).
  { intros n. induction n as [|n IH]; intros Hn; simpl; [field; lra|].
    rewrite IH by lia. unfold history. replace (Nat.ltb n (t - k)) with true by (symmetry;
      apply Nat.ltb_lt; lia).
    unfold affine. field. lra. }
  assert (after : forall n h, run (affine lam gain 0) (history b (t - k)) h (t - k) n
    = lam ^ n * h).
  { intros n h. induction n as [|n IH]; simpl; [ring|]. rewrite IH. unfold history.
    replace (Nat.ltb (t - k + n) (t - k)) with false by (symmetry; apply Nat.ltb_ge; lia).
    unfold affine. ring. }
  rewrite after. unfold state. rewrite before by lia. field. lra.
Qed.

Theorem window_error (lam : R) (k t : nat) (gain input_bound lipschitz : R) (g : list R -> R) :
  0 <= lam < 1 -> 0 <= gain -> 0 <= input_bound -> 0 <= lipschitz ->
  (k <= t)%nat ->
  exists x, (forall s, Rabs (x s) <= input_bound) /\
  formulas.window_error lam k t gain input_bound lipschitz
  <= Rabs (lipschitz * state (affine lam gain 0) x 0 t - g (window x k t)).
Proof.
  intros Hlam Hg Hi Hl Hk.
  set (bound := formulas.window_error lam k t gain input_bound lipschitz).
  assert (bounded : forall b, Rabs b <= input_bound -> forall s, Rabs (history b (t - k) s)
    <= input_bound).
  { intros b Hb s. unfold history. destruct (Nat.ltb s (t - k)); [exact Hb|]. now rewrite Rabs_R0. }
  assert (same : forall b c, window (history b (t - k)) k t = window (history c (t - k)) k t).
  { intros b c. unfold window. apply map_ext_in. intros s Hs. apply in_seq in Hs.
    unfold history. now replace (Nat.ltb s (t - k)) with false by (symmetry; apply Nat.ltb_ge;
      lia). }
  set (value := g (window (history input_bound (t - k)) k t)).
  assert (high : lipschitz * state (affine lam gain 0) (history input_bound (t - k)) 0 t = bound).
  { rewrite history_state by assumption. unfold bound, formulas.window_error. field. lra. }
  assert (low : lipschitz * state (affine lam gain 0) (history (- input_bound) (t - k)) 0 t
    = - bound).
  { rewrite history_state by assumption. unfold bound, formulas.window_error. field. lra. }
  destruct (Rle_lt_dec value 0) as [Hv|Hv].
  - exists (history input_bound (t - k)). split.
    + apply bounded. rewrite Rabs_right; lra.
    + fold value. rewrite high. eapply Rle_trans; [|apply Rle_abs]. lra.
  - exists (history (- input_bound) (t - k)). split.
    + apply bounded. rewrite Rabs_Ropp, Rabs_right; lra.
    + rewrite (same (- input_bound) input_bound). fold value. rewrite low.
      rewrite Rabs_minus_sym. eapply Rle_trans; [|apply Rle_abs]. lra.
Qed.

(* the k-step counterpart errs by no more: restarting from zero is minimax optimal *)
Theorem attained (lam : R) (k t : nat) (gain input_bound lipschitz : R) (x : nat -> R) :
  0 <= lam < 1 -> 0 <= gain -> 0 <= lipschitz ->
  (k <= t)%nat -> (forall s, Rabs (x s) <= input_bound) ->
  Rabs (lipschitz * state (affine lam gain 0) x 0 t - lipschitz * truncated (affine lam gain 0) x 0
    k t)
  <= formulas.window_error lam k t gain input_bound lipschitz.
Proof.
  intros Hlam Hg Hl Hk Hx. rewrite <- Rmult_minus_distr_l, Rabs_mult, (Rabs_right lipschitz) by lra.
  replace (formulas.window_error lam k t gain input_bound lipschitz)
    with (lipschitz * (gain * input_bound * (lam ^ k - lam ^ t) / (1 - lam)))
    by (unfold formulas.window_error; rewrite (pow_split lam k t Hk); field; lra).
  apply Rmult_le_compat_l; [exact Hl|]. rewrite <- line_is.
  apply (gap_finite line (affine lam gain 0) lam); [exact Hlam | apply affine_contractive; lra | |
    exact Hk].
  intros s. rewrite line_is. unfold affine.
  replace (lam * 0 + gain * x s + 0 - 0) with (gain * x s) by ring.
  rewrite Rabs_mult, (Rabs_right gain) by lra. now apply Rmult_le_compat_l.
Qed.

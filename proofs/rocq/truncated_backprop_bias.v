(* Bias of truncated backpropagation: the state is carried, the gradient is cut. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import tangent.

Theorem truncated_backprop_bias {m : tangent_map} (w : P m) (x : nat -> X m) (h : T m)
    (lam weight_gain loss_gain : R) (k t : nat) :
  0 <= lam < 1 -> contracts lam w -> weights_bounded weight_gain w ->
  0 <= loss_gain -> @loss_lipschitz m loss_gain ->
  (k <= t)%nat ->
  let cut := run (carry w) x (state (step w) x h (t - k), origin) (t - k) k in
  size (minus (gradient (state (carry w) x (h, origin) t)) (gradient cut))
  <= formulas.truncated_backprop_bias lam k t weight_gain loss_gain.
Proof.
  intros Hlam Hc Hw Hl Hloss Hk cut.
  rewrite (state_split _ x (h, origin) t k Hk). set (past := state (carry w) x (h, origin) (t - k)).
  assert (same : fst past = state (step w) x h (t - k)).
  { unfold past, state. now rewrite carry_state. }
  assert (bounded : size (snd past) <= weight_gain * (1 - lam ^ (t - k)) / (1 - lam)).
  { unfold past, state. eapply Rle_trans; [now apply (derivative_size lam weight_gain)|].
    cbn [snd]. rewrite size_origin. lra. }
  assert (states : forall n, fst (run (carry w) x past (t - k) n)
    = fst (run (carry w) x (state (step w) x h (t - k), origin) (t - k) n)).
  { intros n. rewrite !carry_state. now rewrite same. }
  assert (faded : forall n, size (minus (snd (run (carry w) x past (t - k) n))
      (snd (run (carry w) x (state (step w) x h (t - k), origin) (t - k) n)))
        <= lam ^ n * size (snd past)).
  { intros n. eapply Rle_trans; [apply (shrinking lam (fun n => size (minus (snd (run (carry w) x
    past (t - k) n))
      (snd (run (carry w) x (state (step w) x h (t - k), origin) (t - k) n))))); [lra|]|].
    - intros i. simpl. unfold carry; simpl. rewrite states, minus_plus, minus_self,
      (plus_origin (M m)).
      rewrite (step_h_linear m). apply (proj2 Hc).
    - simpl. rewrite minus_origin. lra. }
  unfold gradient, cut. rewrite (states k), (grad_p_linear m).
  eapply Rle_trans; [apply Hloss|]. unfold formulas.truncated_backprop_bias.
  pose proof (pow_unit lam k Hlam).
  replace (lam ^ k * loss_gain * weight_gain * (1 - lam ^ (t - k)) / (1 - lam))
    with (loss_gain * (lam ^ k * (weight_gain * (1 - lam ^ (t - k)) / (1 - lam)))) by (field; lra).
  apply Rmult_le_compat_l; [exact Hl|]. eapply Rle_trans; [apply faded|].
  apply Rmult_le_compat_l; [lra | exact bounded].
Qed.

(* h -> lam h + w, p(h) = h *)
Definition adding (lam : R) : tangent_map.
Proof.
  refine (Tangent R unit R line line reals reals (fun w h _ => lam * h + w)
    (fun _ _ _ A => lam * A) (fun _ _ _ => 1) (fun _ A => A) _ _).
  - intros. apply (@minus_scale reals).
  - reflexivity.
Defined.

Theorem attained (lam : R) (k t : nat) (w h : R) : 0 <= lam < 1 -> (k <= t)%nat ->
  let m := adding lam in
  let x (_ : nat) : X m := tt in
  contracts lam (w : P m) /\ weights_bounded 1 (w : P m) /\ @loss_lipschitz m 1 /\
  size (minus (gradient (state (carry (w : P m)) x (h, origin) t))
    (gradient (run (carry (w : P m)) x (state (step (w : P m)) x h (t - k), origin) (t - k) k)))
  = formulas.truncated_backprop_bias lam k t 1 1.
Proof.
  intros Hlam Hk m x.
  assert (D : forall g A from n, snd (run (carry (w : P m)) x (g, A) from n)
    = lam ^ n * A + 1 * (1 - lam ^ n) / (1 - lam)).
  { intros g A from n.
    rewrite (recursion_exact lam 1 (fun n => snd (run (carry (w : P m)) x (g, A) from n)));
      [reflexivity | lra | reflexivity]. }
  pose proof (pow_unit lam k Hlam). pose proof (pow_unit lam (t - k) Hlam).
  split; [|split; [|split]].
  - split.
    + intros a b u. cbn. replace (lam * a + w - (lam * b + w)) with (lam * (a - b)) by ring.
      rewrite Rabs_mult, (Rabs_right lam); lra.
    + intros a u A. cbn. rewrite Rabs_mult, (Rabs_right lam); lra.
  - intros a u. cbn. rewrite Rabs_R1. lra.
  - intros a A. cbn. lra.
  - unfold gradient, state. change (grad_p (t := m)) with (fun (_ : R) (A : R) => A). cbn beta.
    rewrite !D. unfold minus; cbn [plus scale size reals]. unfold formulas.truncated_backprop_bias.
    rewrite (pow_split lam k t Hk).
    change (@origin (M m)) with 0.
    match goal with |- _ = ?b => change (Rabs (lam ^ k * lam ^ (t - k) * 0
      + 1 * (1 - lam ^ k * lam ^ (t - k)) / (1 - lam)
      + -1 * (lam ^ k * 0 + 1 * (1 - lam ^ k) / (1 - lam))) = b) end.
    match goal with |- Rabs ?a = ?b => replace a with b by (field; lra) end.
    apply Rabs_right, Rle_ge, div_nonneg; nra.
Qed.

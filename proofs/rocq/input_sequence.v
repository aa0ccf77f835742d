(* Lipschitz dependence on the inputs. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem input_sequence {T X} (d : metric T) (e : metric X) (step : T -> X -> T) (x y : nat -> X)
    (lam : R) (t : nat) (gain distance : R) (h : T) :
  0 <= lam < 1 -> contractive d step lam ->
  0 <= gain -> (forall h x y, d (step h x) (step h y) <= gain * e x y) ->
  (forall s, e (x s) (y s) <= distance) ->
  d (state step x h t) (state step y h t) <= formulas.input_sequence lam t gain distance.
Proof.
  intros Hlam Hstep Hg Hgain Hxy.
  eapply Rle_trans;
    [apply (recursion lam (gain * distance) (fun t => d (state step x h t) (state step y h t)))|];
    [lra|lra| |].
  - intros n. unfold state; simpl.
    eapply Rle_trans; [apply (distance_triangle d _ (step (run step y h 0 n) (x n)))|].
    apply Rplus_le_compat; [apply Hstep|].
    eapply Rle_trans; [apply Hgain|]. now apply Rmult_le_compat_l.
  - unfold state; simpl. rewrite (distance_refl d). right. unfold formulas.input_sequence. field.
    lra.
Qed.

Theorem attained lam t gain distance : 0 <= lam < 1 -> 0 <= gain -> 0 <= distance ->
  contractive line (affine lam gain 0) lam /\
  (forall h x y, line (affine lam gain 0 h x) (affine lam gain 0 h y) = gain * line x y) /\
  line distance 0 = distance /\
  line (state (affine lam gain 0) (fun _ => distance) 0 t) (state (affine lam gain 0) (fun _ => 0) 0
    t)
  = formulas.input_sequence lam t gain distance.
Proof.
  intros Hlam Hg Hd. pose proof (pow_unit lam t Hlam). repeat split.
  - apply affine_contractive; lra.
  - intros h x y. rewrite !line_is. unfold affine.
    replace (lam * h + gain * x + 0 - (lam * h + gain * y + 0)) with (gain * (x - y)) by ring.
    rewrite Rabs_mult, (Rabs_right gain); lra.
  - rewrite line_is, Rabs_right; lra.
  - rewrite line_is. unfold state. rewrite !affine_run by lra. unfold formulas.input_sequence.
    rewrite Rabs_right; [field; lra|]. apply Rle_ge.
    replace (lam ^ t * 0 + (gain * distance + 0) * (1 - lam ^ t) / (1 - lam)
             - (lam ^ t * 0 + (gain * 0 + 0) * (1 - lam ^ t) / (1 - lam)))
      with (gain * distance * (1 - lam ^ t) / (1 - lam)) by (field; lra).
    apply div_nonneg; [|lra]. apply Rmult_le_pos; nra.
Qed.

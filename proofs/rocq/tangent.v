(* A state and its derivative in the parameters, carried along by the chain rule. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
Open Scope R_scope.

(* D = d h / d w is an element of M, and step_h, the derivative in the state, acts on it; the chain
   rule is what defines the gradient here: D_{t+1} = step_h D_t + step_w, grad p_t = grad_p D_t. *)
Record tangent_map := Tangent {
  T : Type; X : Type; P : Type;
  d : metric T;
  p : metric P;
  M : normed;
  G : normed;
  step : P -> T -> X -> T;
  step_h : P -> T -> X -> M -> M;
  step_w : P -> T -> X -> M;
  grad_p : T -> M -> G;
  step_h_linear : forall w h x A B, minus (step_h w h x A) (step_h w h x B)
    = step_h w h x (minus A B);
  grad_p_linear : forall h A B, minus (grad_p h A) (grad_p h B) = grad_p h (minus A B)
}.
Arguments d {t}. Arguments p {t}. Arguments step {t}. Arguments step_h {t}.
Arguments step_w {t}. Arguments grad_p {t}.

Definition carry {m : tangent_map} (w : P m) (s : T m * M m) (x : X m) : T m * M m :=
  (step w (fst s) x, plus (step_h w (fst s) x (snd s)) (step_w w (fst s) x)).

Definition gradient {m : tangent_map} (s : T m * M m) : G m := grad_p (fst s) (snd s).

Section Gradients.
  Context {m : tangent_map}.
  Variables (lam weight_gain loss_gain beta_hh beta_hw beta_wh beta_ww beta_p : R).

  (* contraction by lam, of the states and so of their derivatives *)
  Definition contracts (w : P m) : Prop :=
    contractive d (step w) lam /\ forall h x A, size (step_h w h x A) <= lam * size A.
  Definition weights_bounded (w : P m) : Prop := forall h x, size (step_w w h x) <= weight_gain.
  Definition smooth (w v : P m) : Prop :=
    (forall h g x A, size (minus (step_h w h x A) (step_h v g x A))
       <= (beta_hh * d h g + beta_hw * p w v) * size A) /\
    (forall h g x, size (minus (step_w w h x) (step_w v g x)) <= beta_wh * d h g + beta_ww * p w v).
  Definition loss_lipschitz : Prop := forall h A, size (@grad_p m h A) <= loss_gain * size A.
  Definition loss_smooth : Prop :=
    forall h g A, size (minus (@grad_p m h A) (grad_p g A)) <= beta_p * d h g * size A.

  Hypothesis Hlam : 0 <= lam < 1.
  Hypothesis Hloss : 0 <= loss_gain.

  (* the states of the pair are the states *)
  Lemma carry_state (w : P m) x s from n : fst (run (carry w) x s from n)
    = run (step w) x (fst s) from n.
  Proof. induction n as [|n IH]; [reflexivity|]. simpl. now rewrite IH. Qed.

  Lemma derivative_size (w : P m) x s from n : contracts w -> weights_bounded w ->
    size (snd (run (carry w) x s from n))
    <= lam ^ n * size (snd s) + weight_gain * (1 - lam ^ n) / (1 - lam).
  Proof.
    intros [_ HJ] HW.
    apply (recursion lam weight_gain (fun n => size (snd (run (carry w) x s from n)))); [lra|lra|].
    intros i. simpl. eapply Rle_trans; [apply size_plus|]. apply Rplus_le_compat;
      [apply HJ|apply HW].
  Qed.

  (* the difference of two derivatives after one step more *)
  Lemma derivative_gap (w v : P m) (a b : T m * M m) x : contracts w -> smooth w v ->
    size (minus (snd (carry w a x)) (snd (carry v b x)))
    <= lam * size (minus (snd a) (snd b))
       + ((beta_hh * d (fst a) (fst b) + beta_hw * p w v) * size (snd b)
          + (beta_wh * d (fst a) (fst b) + beta_ww * p w v)).
  Proof.
    intros [_ HJ] [Hh Hw]. unfold carry; simpl. rewrite minus_plus.
    eapply Rle_trans; [apply size_plus|]. rewrite <- Rplus_assoc.
    apply Rplus_le_compat; [|apply Hw].
    rewrite <- (minus_chain _ (step_h w (fst a) x (snd b))).
    eapply Rle_trans; [apply size_plus|]. rewrite (step_h_linear m).
    apply Rplus_le_compat; [apply HJ | apply Hh].
  Qed.

  Lemma gradient_difference (a b : T m * M m) : loss_lipschitz -> loss_smooth ->
    size (minus (gradient a) (gradient b))
    <= loss_gain * size (minus (snd a) (snd b)) + beta_p * d (fst a) (fst b) * size (snd b).
  Proof.
    intros Hl Hs. unfold gradient. rewrite <- (minus_chain _ (grad_p (fst a) (snd b))).
    eapply Rle_trans; [apply size_plus|]. rewrite (grad_p_linear m).
    apply Rplus_le_compat; [apply Hl | apply Hs].
  Qed.

  (* from two starts, the second one without derivative, under the same parameters *)
  Lemma restarted_gap (w : P m) x h g A from k past :
    0 <= weight_gain -> 0 <= beta_hh -> 0 <= beta_wh ->
    contracts w -> weights_bounded w -> smooth w w -> d h g <= past ->
    size (minus (snd (run (carry w) x (h, A) from k)) (snd (run (carry w) x (g, origin) from k)))
    <= lam ^ k * size A
       + lam ^ (k - 1) * past
         * (INR k * beta_wh + beta_hh * weight_gain * (INR k - (1 - lam ^ k) / (1 - lam)) / (1 -
           lam)).
  Proof.
    intros HL Hhh Hwh Hc Hw Hs Hpast. induction k as [|k IH].
    - simpl. rewrite minus_origin.
      replace (1 * past * (0 * beta_wh + beta_hh * weight_gain * (0 - (1 - 1) / (1 - lam)) / (1 -
        lam)))
        with 0 by (field; lra). lra.
    - pose proof (derivative_gap w w (run (carry w) x (h, A) from k) (run (carry w) x (g,
      origin) from k)
        (x (from + k)%nat) Hc Hs) as step_bound.
      change (run (carry w) x (h, A) from (S k))
        with (carry w (run (carry w) x (h, A) from k) (x (from + k)%nat)).
      change (run (carry w) x (g, origin) from (S k))
        with (carry w (run (carry w) x (g, origin) from k) (x (from + k)%nat)).
      eapply Rle_trans; [exact step_bound|]. clear step_bound.
      rewrite (distance_refl p), !Rmult_0_r, !Rplus_0_r, !carry_state. cbn [fst].
      pose proof (derivative_size w x (g, origin) from k Hc Hw) as HD. cbn [snd] in HD.
      rewrite size_origin, Rmult_0_r, Rplus_0_l in HD.
      pose proof (pow_unit lam k Hlam) as Hk.
      assert (He : d (run (step w) x h from k) (run (step w) x g from k) <= lam ^ k * past).
      { eapply Rle_trans; [apply (run_forgets d (step w) lam); [exact Hlam | apply Hc]|].
        apply Rmult_le_compat_l; lra. }
      pose proof (distance_nonneg d (run (step w) x h from k) (run (step w) x g from k)) as He0.
      set (e := d (run (step w) x h from k) (run (step w) x g from k)) in *.
      pose proof (size_nonneg (snd (run (carry w) x (g, origin) from k))) as HD0.
      set (D := size (snd (run (carry w) x (g, origin) from k))) in *.
      apply (Rmult_le_compat_l lam) in IH; [|lra].
      assert (product : beta_hh * e * D
              <= beta_hh * (lam ^ k * past) * (weight_gain * (1 - lam ^ k) / (1 - lam))).
      { apply Rmult_le_compat; [nra | exact HD0 | nra | exact HD]. }
      assert (gain : beta_wh * e <= beta_wh * (lam ^ k * past)) by nra.
      eapply Rle_trans; [apply Rplus_le_compat; [exact IH | apply Rplus_le_compat; [exact product |
        exact gain]]|].
      right. replace (S k - 1)%nat with k by lia. rewrite S_INR.
      destruct k as [|k]; [simpl; field; lra|].
      replace (S k - 1)%nat with k by lia. simpl pow. field. lra.
  Qed.
End Gradients.

(* A witness: h -> lam h + drive on the states 0 <= h <= drive / (1 - lam), which it never leaves,
  with
   the parameter lam, so that step_w = h. *)
Definition box (b : R) : Type := { h : R | 0 <= h <= b }.

Definition box_metric (b : R) : metric (box b).
Proof.
  refine (Metric _ (fun h g => line (proj1_sig h) (proj1_sig g)) _ _ _); intros.
  - apply distance_refl.
  - apply distance_sym.
  - apply distance_triangle.
Defined.

Definition one_point : metric unit.
Proof. refine (Metric _ (fun _ _ => 0) _ _ _); intros; lra. Defined.

Lemma stays lam drive (h : R) : 0 <= lam < 1 -> 0 <= drive ->
  0 <= h <= drive / (1 - lam) -> 0 <= lam * h + drive <= drive / (1 - lam).
Proof.
  intros Hlam Hd [H0 H1]. split; [nra|].
  apply (Rmult_le_compat_l lam) in H1; [|lra].
  replace (drive / (1 - lam)) with (lam * (drive / (1 - lam)) + drive) by (field; lra). lra.
Qed.

Section Driven.
  Variables (lam drive : R) (Hlam : 0 <= lam < 1) (Hdrive : 0 <= drive).

  Definition driven : tangent_map.
  Proof.
    refine (Tangent (box (drive / (1 - lam))) unit unit (box_metric _) one_point reals reals
      (fun _ h _ => exist _ (lam * proj1_sig h + drive) (stays lam drive _ Hlam Hdrive (proj2_sig
        h)))
      (fun _ _ _ A => lam * A) (fun _ h _ => proj1_sig h) (fun _ A => A) _ _).
    - intros. apply (@minus_scale reals).
    - reflexivity.
  Defined.

  Definition nothing : T driven.
  Proof. refine (exist _ 0 _). split; [lra|]. apply div_nonneg; lra. Defined.

  Let x (_ : nat) : X driven := tt.
  Let top := drive / (1 - lam).

  Lemma driven_run (s : T driven * M driven) from n :
    proj1_sig (fst (run (carry (m := driven) tt) x s from n))
    = lam ^ n * proj1_sig (fst s) + top * (1 - lam ^ n) /\
    snd (run (carry (m := driven) tt) x s from n)
    = lam ^ n * snd s + INR n * lam ^ (n - 1) * (proj1_sig (fst s) - top)
      + top * (1 - lam ^ n) / (1 - lam).
  Proof.
    induction n as [|n [IHh IHd]].
    - simpl. split; [ring | field; lra].
    - cbn [run]. unfold carry at 1 3. cbn [fst snd]. split.
      + change (lam * proj1_sig (fst (run (carry (m := driven) tt) x s from n)) + drive
          = lam ^ S n * proj1_sig (fst s) + top * (1 - lam ^ S n)).
        rewrite IHh. unfold top. simpl. field. lra.
      + change (lam * snd (run (carry (m := driven) tt) x s from n)
          + proj1_sig (fst (run (carry (m := driven) tt) x s from n))
          = lam ^ S n * snd s + INR (S n) * lam ^ (S n - 1) * (proj1_sig (fst s) - top)
            + top * (1 - lam ^ S n) / (1 - lam)).
        rewrite IHh, IHd, S_INR. replace (S n - 1)%nat with n by lia.
        destruct n as [|n]; [simpl; field; lra|]. replace (S n - 1)%nat with n by lia.
        simpl pow. field. lra.
  Qed.

  Lemma driven_assumptions :
    contracts (m := driven) lam tt /\ weights_bounded (m := driven) top tt /\
    smooth (m := driven) 0 0 1 0 tt tt /\ loss_lipschitz (m := driven) 1 /\
    loss_smooth (m := driven) 0.
  Proof.
    split; [split|split; [|split; [split|split]]].
    - intros h g u. cbn. replace (lam * proj1_sig h + drive - (lam * proj1_sig g + drive))
        with (lam * (proj1_sig h - proj1_sig g)) by ring. rewrite Rabs_mult, (Rabs_right lam); lra.
    - intros h u A. cbn. rewrite Rabs_mult, (Rabs_right lam); lra.
    - intros h u. cbn. destruct h as [h Hh]. cbn. rewrite Rabs_right; [apply Hh | lra].
    - intros h g u A. cbn. replace (lam * A + -1 * (lam * A)) with 0 by ring. rewrite Rabs_R0. lra.
    - intros h g u. cbn. replace (proj1_sig h + -1 * proj1_sig g) with (proj1_sig h - proj1_sig g)
      by ring.
      lra.
    - intros h A. cbn. lra.
    - intros h g A. cbn. replace (A + -1 * A) with 0 by ring. rewrite Rabs_R0. lra.
  Qed.
End Driven.

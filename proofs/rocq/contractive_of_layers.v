(* Contraction of a stack of layers, in a weighted maximum of the layers' own norms. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import vectors.

Section Stack.
  (* every layer has a space and a distance of its own; a state is one of every layer *)
  Context {T : nat -> Type} {X : Type}.
  Variables (d : forall l, metric (T l)) (first : T 0%nat -> X -> T 0%nat).
  Variable layer : forall l, T (S l) -> T l -> X -> T (S l).

  (* the new state of layer l, which sees the new state of the layer below it *)
  Fixpoint after (h : forall l, T l) (x : X) (l : nat) : T l :=
    match l with O => first (h 0%nat) x | S m => layer m (h (S m)) (after h x m) x end.

  (* |h - g| = max_l w_l |h_l - g_l|_l *)
  Definition apart (L : nat) (w : nat -> R) (h g : forall l, T l) : R :=
    vmax (fun l => w l * d l (h l) (g l)) L.

  Variables (L : nat) (w own gain : nat -> R).
  Variables (domain : (forall l, T l) -> Prop) (inputs : X -> Prop).
  Hypothesis Hw : forall l, 0 < w l.
  Hypothesis Hown : forall l, 0 <= own l.
  Hypothesis Hgain : forall l, 0 <= gain l.
  (* on the domain, which the stack never leaves, every layer contracts *)
  Hypothesis Hfirst : forall h g x, domain h -> domain g -> inputs x ->
    d 0%nat (first (h 0%nat) x) (first (g 0%nat) x) <= own 0%nat * d 0%nat (h 0%nat) (g 0%nat).
  Hypothesis Hlayer : forall l h g x, domain h -> domain g -> inputs x ->
    d (S l) (layer l (h (S l)) (after h x l) x) (layer l (g (S l)) (after h x l) x)
    <= own (S l) * d (S l) (h (S l)) (g (S l)).
  (* and is Lipschitz in the new state of the layer below *)
  Hypothesis Hbelow : forall l h g x, domain h -> domain g -> inputs x ->
    d (S l) (layer l (g (S l)) (after h x l) x) (layer l (g (S l)) (after g x l) x)
    <= gain l * d l (after h x l) (after g x l).

  Lemma part h g l : (l < L)%nat -> w l * d l (h l) (g l) <= apart L w h g.
  Proof. exact (vmax_ge (fun l => w l * d l (h l) (g l)) L l). Qed.

  Lemma grows l h g x beneath : domain h -> domain g -> inputs x -> (S l < L)%nat ->
    w l * d l (after h x l) (after g x l) <= beneath * apart L w h g ->
    w (S l) * d (S l) (after h x (S l)) (after g x (S l))
    <= formulas.contractive_of_layers (own (S l)) (gain l) (w (S l)) (w l) beneath * apart L w h g.
  Proof.
    intros Hh Hg Hx Hl Hbeneath. cbn [after].
    pose proof (Hw l) as Hwl. pose proof (Hw (S l)) as Hws.
    set (D := d l (after h x l) (after g x l)) in *.
    apply Rle_trans with (w (S l) * (own (S l) * d (S l) (h (S l)) (g (S l)) + gain l * D)).
    - apply Rmult_le_compat_l; [lra|].
      eapply Rle_trans;
        [apply (distance_triangle (d (S l)) _ (layer l (g (S l)) (after h x l) x))|].
      apply Rplus_le_compat; [now apply Hlayer | now apply Hbelow].
    - pose proof (part h g (S l) Hl) as Hpart. pose proof (Hown (S l)). pose proof (Hgain l).
      unfold formulas.contractive_of_layers.
      apply (Rmult_le_compat_l (own (S l))) in Hpart; [|assumption].
      apply (Rmult_le_compat_l (gain l * w (S l) / w l)) in Hbeneath.
      + replace (gain l * w (S l) / w l * (w l * D)) with (gain l * w (S l) * D) in Hbeneath
          by (field; lra). lra.
      + apply div_nonneg; [|lra]. apply Rmult_le_pos; lra.
  Qed.

  (* attained after the step at the layer S l: what is said of it *)
  Theorem contractive_of_layers l h g x beneath : domain h -> domain g -> inputs x ->
    (S l < L)%nat ->
    w l * d l (after h x l) (after g x l) <= beneath * apart L w h g ->
    apart L w (after h x) (after g x) = w (S l) * d (S l) (after h x (S l)) (after g x (S l)) ->
    apart L w (after h x) (after g x)
    <= formulas.contractive_of_layers (own (S l)) (gain l) (w (S l)) (w l) beneath * apart L w h g.
  Proof. intros Hh Hg Hx Hl Hbeneath Hmost. rewrite Hmost. now apply grows. Qed.

  (* the rates of the layers, from the first up *)
  Fixpoint rates (l : nat) : R :=
    match l with
    | O => own 0%nat
    | S m => formulas.contractive_of_layers (own (S m)) (gain m) (w (S m)) (w m) (rates m)
    end.

  Theorem by_the_largest h g x : domain h -> domain g -> inputs x ->
    apart L w (after h x) (after g x) <= vmax rates L * apart L w h g.
  Proof.
    intros Hh Hg Hx. assert (layers : forall l, (l < L)%nat ->
      w l * d l (after h x l) (after g x l) <= rates l * apart L w h g).
    { induction l as [|l IH]; intros Hl; [|apply grows; auto; apply IH; lia].
      cbn [after rates]. pose proof (Hw 0%nat). pose proof (Hown 0%nat).
      pose proof (part h g 0%nat Hl) as Hpart. specialize (Hfirst h g x Hh Hg Hx). nra. }
    assert (Hd : 0 <= apart L w h g) by apply vmax_nonneg.
    apply vmax_le; [apply Rmult_le_pos; [apply vmax_nonneg | exact Hd]|]. intros l Hl.
    eapply Rle_trans; [now apply layers|]. apply Rmult_le_compat_r; [exact Hd|].
    now apply (vmax_ge rates L l).
  Qed.
End Stack.

(* h -> beneath h below g -> own g + gain h+, between (1 / lower, 1 / weight) and 0 *)
Theorem attained (own gain weight lower beneath : R) :
  0 <= own -> 0 <= gain -> 0 < weight -> 0 < lower -> 0 <= beneath ->
  beneath <= formulas.contractive_of_layers own gain weight lower beneath ->
  let T (_ : nat) := R in
  let d (_ : nat) := line in
  let first (h : R) (_ : unit) := beneath * h in
  let layer (_ : nat) (g h : R) (_ : unit) := own * g + gain * h in
  let w l := match l with O => lower | S _ => weight end in
  let h l := match l with O => 1 / lower | S _ => 1 / weight end in
  let zero (_ : nat) := 0 in
  apart (T := T) d 2 w h zero = 1 /\
  apart (T := T) d 2 w (after (T := T) first layer h tt) (after (T := T) first layer zero tt)
  = formulas.contractive_of_layers own gain weight lower beneath
    * apart (T := T) d 2 w h zero.
Proof.
  intros Ho Hg Hw Hl Hb Hmost T d first layer w h zero.
  assert (one : apart (T := T) d 2 w h zero = 1).
  { unfold apart, d, w, h, zero. cbn [vmax]. rewrite !line_is, !Rminus_0_r.
    pose proof (Rinv_0_lt_compat _ Hw). pose proof (Rinv_0_lt_compat _ Hl).
    rewrite !Rabs_right by lra. replace (lower * (1 / lower)) with 1 by (field; lra).
    replace (weight * (1 / weight)) with 1 by (field; lra).
    rewrite (Rmax_right 0 1) by lra. now apply Rmax_left, Req_le. }
  split; [exact one|]. rewrite one, Rmult_1_r.
  unfold apart, d, w, h, zero. cbn [vmax after]. unfold first, layer. rewrite !line_is.
  set (rate := formulas.contractive_of_layers own gain weight lower beneath) in *.
  replace (beneath * (1 / lower) - beneath * 0) with (beneath / lower) by (field; lra).
  replace (own * (1 / weight) + gain * (beneath * (1 / lower)) - (own * 0 + gain * (beneath * 0)))
    with (rate / weight) by (unfold rate, formulas.contractive_of_layers; field; lra).
  rewrite !Rabs_right by (apply Rle_ge, div_nonneg; lra).
  replace (lower * (beneath / lower)) with beneath by (field; lra).
  replace (weight * (rate / weight)) with rate by (field; lra).
  rewrite (Rmax_right 0 beneath) by lra. now apply Rmax_right.
Qed.
